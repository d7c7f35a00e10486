// The pages of a cluster of several nodes, one scene at a time: the program that starts the nodes brings each scene about.
//
// POSTHOUSE_SCENE         what is the case
//   whole      (default)  all nodes run and reach each other
//   dead                  one node, POSTHOUSE_AWAY, does not answer; POSTHOUSE_NODE_URLS are those that do
//   cut                   the node at POSTHOUSE_CUT_URL is cut off from the majority
//   move                  as whole; the mailbox of POSTHOUSE_MOVED is moved to store POSTHOUSE_MOVED_TO
// POSTHOUSE_NODE_URLS     admin addresses, separated by commas
// POSTHOUSE_NODES         how many nodes the cluster has, if not as many as addresses
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { assertFits, DESK, finish, launch, need, open, shot, signOn } from "./browser.js";

const SCENE = process.env.POSTHOUSE_SCENE ?? "whole";
const URLS = need("POSTHOUSE_NODE_URLS").split(",").map((url) => url.trim().replace(/\/$/, ""));
const COUNT = Number(process.env.POSTHOUSE_NODES ?? URLS.length);
const NAME = process.env.POSTHOUSE_ADMIN ?? "admin";
const PASSWORD = need("POSTHOUSE_PASSWORD");
/** How long the cluster may take until a page shows what is the case. */
const SETTLES = 60_000;

let browser;
before(async () => { browser = await launch(); });
after(async () => { await browser?.close(); });

/** Only the test of the present scene is there: a skipped one would look like one that was left out. */
function scene(name, title, body) {
  if (SCENE === name) test(title, body);
}

async function administrator(url) {
  const tab = await open(browser, url, DESK);
  await signOn(tab.page, url, NAME, PASSWORD);
  await tab.page.getByRole("heading", { name: "Start", level: 1 }).waitFor();
  return tab;
}

async function go(page, name) {
  await page.getByRole("link", { name, exact: true }).click();
  await page.getByRole("heading", { name, level: 1 }).waitFor();
}

/** The row of a node in the table of nodes. */
const row = (page, id) => page.getByRole("table", { name: "Nodes" }).getByRole("row").filter({ has: page.getByRole("button", { name: new RegExp(`^${id} `) }) });

/** Waits until `count` rows of the table have this text. */
async function rows(page, table, text, count) {
  const found = page.getByRole("table", { name: table }).getByRole("row").filter({ hasText: text });
  await found.nth(count - 1).waitFor({ timeout: SETTLES });
  assert.equal(await found.count(), count, `rows of ${table} with ${text}`);
}

scene("whole", "every node shows all nodes, stores and round trips", async () => {
  for (const [index, url] of URLS.entries()) {
    const tab = await administrator(url);
    const { page } = tab;
    await go(page, "Cluster");
    await rows(page, "Nodes", "active", COUNT);
    await page.getByText("can be changed").waitFor();
    await page.getByRole("tab", { name: "Stores" }).click();
    await rows(page, "Stores", "answers", COUNT);
    await page.getByRole("tab", { name: "Reachability" }).click();
    const matrix = page.getByRole("table", { name: "Who reaches whom" });
    await matrix.getByText(/ms$/).nth(COUNT * (COUNT - 1) - 1).waitFor({ timeout: SETTLES });
    await assertFits(page);
    await shot(page, `nodes-whole-${index + 1}`);
    await finish(tab);
  }
});

scene("dead", "a node that is away stands out, and its replacement is offered with the dry run first", async () => {
  const away = need("POSTHOUSE_AWAY");
  const tab = await administrator(URLS[0]);
  const { page } = tab;
  await go(page, "Cluster");
  await row(page, away).getByText("not reached").waitFor({ timeout: SETTLES });
  await rows(page, "Nodes", "active", COUNT - 1);
  await page.getByText("can be changed").waitFor();
  await page.getByRole("tab", { name: "Stores" }).click();
  await rows(page, "Stores", "answers", COUNT);
  await shot(page, "nodes-dead-stores");
  await page.getByRole("tab", { name: "Nodes" }).click();
  await row(page, away).getByRole("button").first().click();
  const node = page.getByRole("dialog", { name: new RegExp(`^Node ${away}`) });
  await node.getByRole("button", { name: "Replace" }).click();
  const dialog = page.getByRole("dialog", { name: `Replace node ${away}` });
  await dialog.getByText("What is done").waitFor();
  await shot(page, "nodes-dead-replace");
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await finish(tab);
});

scene("cut", "on a node that is cut off every page says that settings are read-only, and a change is refused with the reason", async () => {
  const url = need("POSTHOUSE_CUT_URL").replace(/\/$/, "");
  const tab = await administrator(url);
  const { page, complaints } = tab;
  const banner = page.getByRole("alert").filter({ hasText: "Settings are read-only on this node" });
  await banner.waitFor({ timeout: SETTLES });
  for (const name of ["Users", "Groups", "Domains", "Settings", "Cluster"]) {
    await go(page, name);
    await banner.waitFor();
  }
  await page.getByText("read-only", { exact: true }).waitFor();
  await shot(page, "nodes-cut-cluster");
  await go(page, "Aliases");
  await page.getByRole("button", { name: "Add an alias" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("textbox", { name: "Alias", exact: true }).fill("cut-off");
  await dialog.getByLabel("Delivers to").fill(NAME);
  await dialog.getByRole("button", { name: "Save" }).click();
  const refusal = dialog.getByRole("alert");
  await refusal.waitFor();
  assert.match(await refusal.innerText(), /Nothing was changed/);
  await shot(page, "nodes-cut-refused");
  // The refusal is a 503, which the browser notes as a failed request.
  const kept = complaints.filter((text) => !/status of 503/.test(text));
  complaints.splice(0, complaints.length, ...kept);
  await finish(tab);
});

scene("move", "a mailbox is moved from the page of its user, and the queue shows it until it is done", async () => {
  const [name, to] = [need("POSTHOUSE_MOVED"), need("POSTHOUSE_MOVED_TO")];
  const tab = await administrator(URLS[0]);
  const { page } = tab;
  await go(page, "Users");
  await page.getByPlaceholder("Search name, address, phone").fill(name);
  await page.getByRole("table").getByRole("button").first().click();
  const user = page.getByRole("dialog").first();
  await user.getByRole("tab", { name: "Mailbox" }).click();
  await user.getByRole("textbox", { name: "Move it to" }).click();
  await page.getByRole("option", { name: new RegExp(`^Store ${to}:`) }).click();
  await user.getByRole("button", { name: "Move the mailbox" }).click();
  const dialog = page.getByRole("dialog", { name: /^Move the mailbox of/ });
  await dialog.getByText("What is done").waitFor();
  await shot(page, "nodes-move-plan");
  await dialog.getByRole("button", { name: "Move", exact: true }).click();
  await dialog.waitFor({ state: "hidden" });
  await page.keyboard.press("Escape");
  await user.waitFor({ state: "hidden" });
  await go(page, "Cluster");
  await page.getByRole("tab", { name: /^Moves/ }).click();
  const line = page.getByRole("table", { name: "Moves" }).getByRole("row").filter({ hasText: name }).first();
  await line.waitFor();
  await shot(page, "nodes-move-running");
  await line.getByText("done").waitFor({ timeout: SETTLES });
  await go(page, "Users");
  await page.getByPlaceholder("Search name, address, phone").fill(name);
  await page.getByRole("table").getByRole("button").first().click();
  await page.getByRole("dialog").getByRole("tab", { name: "Mailbox" }).click();
  await page.getByRole("dialog").getByText(new RegExp(`^Store ${to}:`)).first().waitFor();
  await finish(tab);
});
