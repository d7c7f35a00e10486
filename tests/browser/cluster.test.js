// The page Cluster, against a running node: what one node shows, invitations, and orders that are shown before they are given.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { assertFits, DESK, finish, launch, need, open, PHONE, shot, signOn } from "./browser.js";

const URL = need("POSTHOUSE_URL").replace(/\/$/, "");
const NAME = process.env.POSTHOUSE_ADMIN ?? "admin";
const PASSWORD = need("POSTHOUSE_PASSWORD");

let browser;
before(async () => { browser = await launch(); });
after(async () => { await browser?.close(); });

async function clusterPage(viewport = DESK) {
  const tab = await open(browser, URL, viewport, { permissions: ["clipboard-read", "clipboard-write"] });
  await signOn(tab.page, URL, NAME, PASSWORD);
  await tab.page.getByRole("heading", { name: "Start", level: 1 }).waitFor();
  if (viewport === PHONE) await tab.page.getByRole("button", { name: "Menu" }).click();
  await tab.page.getByRole("link", { name: "Cluster", exact: true }).click();
  await tab.page.getByRole("heading", { name: "Cluster", level: 1 }).waitFor();
  return tab;
}

test("this node, its store and what would be lost with it are shown", async () => {
  const tab = await clusterPage();
  const { page } = tab;
  const nodes = page.getByRole("table", { name: "Nodes" });
  await nodes.getByRole("button", { name: /^1 / }).waitFor();
  await nodes.getByText("active").first().waitFor();
  await page.getByRole("table", { name: "If a node were lost" }).waitFor();
  await shot(page, "cluster-nodes");
  for (const name of ["Stores", "Reachability", "Moves", "Invites", "Certificates"]) {
    await page.getByRole("tab", { name }).click();
    await page.getByRole("tabpanel", { name }).waitFor();
    await assertFits(page);
    await shot(page, `cluster-${name.toLowerCase()}`);
  }
  await page.getByRole("tab", { name: "Stores" }).click();
  await page.getByRole("table", { name: "Stores" }).getByRole("button", { name: "Store 1" }).waitFor();
  await finish(tab);
});

test("the page fits a phone", async () => {
  const tab = await clusterPage(PHONE);
  await tab.page.getByRole("list", { name: "Nodes" }).waitFor();
  await assertFits(tab.page);
  await shot(tab.page, "cluster-phone");
  await finish(tab);
});

test("an invitation is shown once, as text and as a picture, with the time that is left", async () => {
  const tab = await clusterPage();
  const { page } = tab;
  await page.getByRole("button", { name: "Invite a node" }).click();
  const dialog = page.getByRole("dialog", { name: "Invite a node" });
  await dialog.getByLabel("Host name of the new node").fill("bad\tname");
  await dialog.getByRole("button", { name: "Make the code" }).click();
  await dialog.getByRole("alert").first().waitFor();
  await dialog.getByLabel("Host name of the new node").fill("n9.browser.test");
  await dialog.getByRole("button", { name: "Make the code" }).click();
  const code = (await dialog.getByLabel("Code", { exact: true }).innerText()).trim();
  assert.ok(code.length > 3, code);
  await dialog.getByRole("img", { name: "The code as a picture" }).waitFor();
  await dialog.getByText(/^Good for (1:00:00|59:\d\d)$/).waitFor();
  await dialog.getByRole("button", { name: "Copy the code" }).click();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), code);
  await shot(page, "cluster-invite");
  await dialog.getByRole("button", { name: "Close" }).last().click();
  await dialog.waitFor({ state: "hidden" });
  assert.doesNotMatch(await page.content(), new RegExp(code.slice(0, 20)), "the code is gone from the page");
  if (code !== "TEST") {
    await page.getByRole("tab", { name: "Invites" }).click();
    const row = page.getByRole("table", { name: "Invites" }).getByRole("row", { name: /n9\.browser\.test/ }).first();
    await row.getByText("can be used").waitFor();
    await row.getByRole("button", { name: "Revoke" }).click();
    await page.getByRole("dialog", { name: /^Revoke/ }).getByRole("button", { name: "Revoke" }).click();
    await row.getByText("revoked").waitFor();
  }
  await finish(tab);
});

test("an order says first what it does, and nothing is done before it is confirmed", async () => {
  const tab = await clusterPage();
  const { page } = tab;
  const given = [];
  page.on("request", (request) => {
    if (request.url().endsWith("/cluster/orders")) given.push(JSON.parse(request.postData()).dry_run);
  });
  await page.getByRole("table", { name: "Nodes" }).getByRole("button", { name: /^1 / }).click();
  const node = page.getByRole("dialog", { name: /^Node 1/ });
  await node.getByText("Node certificate").waitFor();
  await shot(page, "cluster-node");
  await node.getByRole("button", { name: "Leave" }).click();
  const dialog = page.getByRole("dialog", { name: "Leave the cluster" });
  await dialog.getByText("What is done").or(dialog.getByText("This is not done")).first().waitFor();
  const refused = (await dialog.getByText("This is not done").count()) > 0;
  assert.equal(await dialog.getByRole("button", { name: "Leave" }).isDisabled(), refused);
  await shot(page, "cluster-leave");
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await dialog.waitFor({ state: "hidden" });
  assert.deepEqual([...new Set(given)], [true], "only a dry run was asked for");
  await finish(tab);
});

test("the page of a user shows where the mailbox is", async () => {
  const tab = await clusterPage();
  const { page } = tab;
  await page.getByRole("link", { name: "Users", exact: true }).click();
  await page.getByPlaceholder("Search name, address, phone").fill(NAME.split("@")[0]);
  await page.getByRole("table").getByRole("button").first().click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("tab", { name: "Mailbox" }).click();
  await dialog.getByText(/^Store 1/).or(dialog.getByText("There is no mailbox yet.")).first().waitFor();
  await shot(page, "user-mailbox");
  await finish(tab);
});
