import "@mantine/core/styles.css";
import "./style.css";

import { createTheme, MantineProvider } from "@mantine/core";
import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { setNonce } from "get-nonce";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { Problem } from "./api/client";
import { router } from "./routes";

// Styles that the component library makes at run time carry the nonce of this answer's Content-Security-Policy.
const nonce = document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? "";
setNonce(nonce);

const theme = createTheme({
  primaryColor: "posthouse",
  colors: {
    posthouse: [
      "#edf4fa", "#dbe7f2", "#b3cde4", "#89b2d7", "#669bcb", "#508dc4", "#4486c2", "#3573ab", "#2c669a", "#1d5888",
    ],
  },
  primaryShade: { light: 8, dark: 6 },
  defaultRadius: "md",
  cursorType: "pointer",
});

/** A session that ended on the server has ended here too: the shell then asks to sign on. */
function ended(error: unknown) {
  if (error instanceof Problem && error.code === "not_signed_on") queries.setQueryData(["session"], null);
}

const queries: QueryClient = new QueryClient({
  queryCache: new QueryCache({ onError: ended }),
  mutationCache: new MutationCache({ onError: ended }),
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      retry: (count, error) => count < 2 && !(error instanceof Problem && error.status >= 400 && error.status < 500),
    },
  },
});

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <MantineProvider theme={theme} defaultColorScheme="auto" getStyleNonce={() => nonce}>
      <QueryClientProvider client={queries}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </MantineProvider>
  </StrictMode>,
);
