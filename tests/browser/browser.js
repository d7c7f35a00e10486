// Chromium for the tests: every violation of the Content-Security-Policy, every request to another origin and every error
// on a page fails the test that caused it.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { chromium } from "playwright-core";

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

export const PHONE = { width: 375, height: 720 };
export const DESK = { width: 1280, height: 860 };

const SCREENSHOTS = process.env.POSTHOUSE_SCREENSHOTS ?? join(import.meta.dirname, "screenshots");

export function need(name) {
  const value = process.env[name];
  assert.ok(value, `${name} is not set: see README.md`);
  return value;
}

export async function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args: FLAGS });
}

/** A page of its own browser profile, with the complaints that it collects. */
export async function open(browser, url, viewport = DESK, options = {}) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport, reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  const complaints = [];
  const origin = new URL(url).origin;
  page.on("console", (message) => {
    const text = message.text();
    const expected = message.type() === "error" && /Failed to load resource: the server responded with a status of (4|502)/.test(text);
    if ((message.type() === "error" || /Content.Security.Policy/i.test(text)) && !expected) complaints.push(text);
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => {
    const address = request.url();
    if (!address.startsWith("data:") && new URL(address).origin !== origin) complaints.push(`request to ${address}`);
  });
  await page.addInitScript(() => {
    globalThis.cspViolations = [];
    document.addEventListener("securitypolicyviolation", (event) => {
      globalThis.cspViolations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
    });
  });
  page.setDefaultTimeout(20_000);
  return { context, page, complaints };
}

/** Ends a page; fails if it complained. */
export async function finish({ context, page, complaints }) {
  const violations = await page.evaluate(() => globalThis.cspViolations ?? []);
  await context.close();
  assert.deepEqual([...complaints, ...violations], []);
}

export async function shot(page, name) {
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
}

/** Nothing is wider than the window. */
export async function assertFits(page) {
  const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, globalThis.innerWidth]);
  assert.ok(content <= window, `the page is ${content} wide in a window of ${window}`);
}

export async function signOn(page, url, name, password) {
  await page.goto(`${url}/`);
  await page.getByLabel("Name or address").fill(name);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByRole("button", { name: "Sign on", exact: true }).click();
}
