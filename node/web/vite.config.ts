import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// Everything ends up in files of our own origin: no inline scripts, no data: addresses (Content-Security-Policy).
export default defineConfig({
  plugins: [react()],
  build: { assetsInlineLimit: 0, cssCodeSplit: false, modulePreload: { polyfill: false }, chunkSizeWarningLimit: 1500 },
  server: { proxy: { "/api": { target: "https://localhost:4040", secure: false } } },
});
