// The administration, against a running node. Makes and removes its own accounts.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { assertFits, DESK, finish, launch, need, open, PHONE, shot, signOn } from "./browser.js";

const URL = need("POSTHOUSE_URL").replace(/\/$/, "");
const NAME = process.env.POSTHOUSE_ADMIN ?? "admin";
const PASSWORD = need("POSTHOUSE_PASSWORD");
const RUN = Date.now().toString(36);

let browser;
before(async () => { browser = await launch(); });
after(async () => { await browser?.close(); });

async function administrator(viewport = DESK) {
  const tab = await open(browser, URL, viewport);
  await signOn(tab.page, URL, NAME, PASSWORD);
  await tab.page.getByRole("heading", { name: "Start", level: 1 }).waitFor();
  return tab;
}

async function go(page, name) {
  await page.getByRole("link", { name, exact: true }).click();
  await page.getByRole("heading", { name, level: 1 }).waitFor();
}

async function search(page, text) {
  await page.getByPlaceholder("Search name, address, phone").fill(text);
}

async function removeOpened(page) {
  await page.getByRole("dialog").getByRole("button", { name: "Remove", exact: true }).click();
  await page.getByRole("dialog", { name: /^Remove .*\?$/ }).getByRole("button", { name: "Remove", exact: true }).click();
}

test("a wrong password is refused in plain words, and the right one opens the start page", async () => {
  const tab = await open(browser, URL);
  await signOn(tab.page, URL, NAME, "wrong password");
  const alert = tab.page.getByRole("alert");
  await alert.waitFor();
  assert.match(await alert.innerText(), /sign-on failed/i);
  await shot(tab.page, "sign-on-refused");
  await tab.page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await tab.page.getByRole("button", { name: "Sign on", exact: true }).click();
  await tab.page.getByRole("heading", { name: "This node" }).waitFor();
  await shot(tab.page, "start");
  const cookies = await tab.context.cookies();
  assert.deepEqual(
    cookies.map(({ name, httpOnly, secure, sameSite }) => ({ name, httpOnly, secure, sameSite })),
    [{ name: "__Host-posthouse", httpOnly: true, secure: true, sameSite: "Strict" }],
  );
  await finish(tab);
});

test("sign-on works with the keyboard alone", async () => {
  const tab = await open(browser, URL);
  await tab.page.goto(`${URL}/`);
  await tab.page.getByLabel("Name or address").waitFor();
  await tab.page.keyboard.type(NAME);
  await tab.page.keyboard.press("Tab");
  await tab.page.keyboard.type(PASSWORD);
  await tab.page.keyboard.press("Enter");
  await tab.page.getByRole("heading", { name: "Start", level: 1 }).waitFor();
  await finish(tab);
});

test("whoever is not signed on gets the sign-on page, and after signing off too", async () => {
  const tab = await open(browser, URL);
  await tab.page.goto(`${URL}/users`);
  await tab.page.getByRole("heading", { name: "Sign on" }).waitFor();
  await signOn(tab.page, URL, NAME, PASSWORD);
  await tab.page.getByRole("button", { name: "Your account" }).click();
  await tab.page.getByRole("menuitem", { name: "Sign off" }).click();
  await tab.page.getByRole("heading", { name: "Sign on" }).waitFor();
  await tab.page.goto(`${URL}/users`);
  await tab.page.getByRole("heading", { name: "Sign on" }).waitFor();
  await finish(tab);
});

test("a session that ends on the server leads back to the sign-on page", async () => {
  const tab = await administrator();
  const answer = await tab.context.request.delete(`${URL}/api/v1/session`, {
    headers: { "x-posthouse-request": "1" }, ignoreHTTPSErrors: true,
  });
  assert.equal(answer.status(), 204);
  await tab.page.getByRole("link", { name: "Queue", exact: true }).click();
  await tab.page.getByRole("heading", { name: "Sign on" }).waitFor();
  await finish(tab);
});

test("a user can be added, found, changed and removed", async () => {
  const tab = await administrator();
  const { page } = tab;
  const name = `anna-${RUN}`;
  await go(page, "Users");
  await page.getByRole("button", { name: "Add a user" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Login name").fill(name);
  await dialog.getByLabel("Full name").fill("Anna Adler");
  await dialog.getByLabel("Password", { exact: true }).fill("short");
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.getByRole("alert").first().waitFor();
  assert.match(await dialog.innerText(), /at least 10 characters/i);
  await shot(page, "user-add-refused");
  await dialog.getByLabel("Password", { exact: true }).fill("a better password 7");
  await dialog.getByRole("tab", { name: "Person" }).click();
  await dialog.getByLabel("Telephone", { exact: true }).fill("+49 30 1234");
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.waitFor({ state: "hidden" });
  await search(page, name);
  await page.getByRole("button", { name: "Anna Adler" }).waitFor();
  await shot(page, "users");
  await page.getByRole("button", { name: "Anna Adler" }).click();
  await dialog.getByLabel("Full name").fill("Anna Berger");
  await shot(page, "user-edit");
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.waitFor({ state: "hidden" });
  await page.getByRole("button", { name: "Anna Berger" }).click();
  await dialog.getByRole("tab", { name: "Sign-on" }).click();
  await dialog.getByRole("switch", { name: "May sign on" }).click();
  await dialog.getByText("Disabled because").waitFor({ state: "attached" });
  await removeOpened(page);
  await page.getByText("Nothing matches").waitFor();
  await finish(tab);
});

test("a group and an alias can be added, changed and removed, and an address be checked", async () => {
  const tab = await administrator();
  const { page } = tab;
  const [group, alias] = [`team-${RUN}`, `info-${RUN}*`];
  const dialog = page.getByRole("dialog");
  await go(page, "Groups");
  await page.getByRole("button", { name: "Add a group" }).click();
  await dialog.getByRole("textbox", { name: "Name", exact: true }).fill(group);
  await dialog.getByLabel("Further addresses").fill(group);
  await dialog.getByLabel("Add a member").fill(NAME);
  await page.getByRole("option").first().click();
  await dialog.getByRole("list", { name: "Members" }).getByText(NAME).first().waitFor();
  await shot(page, "group-add");
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.waitFor({ state: "hidden" });
  await search(page, group);
  await page.getByRole("button", { name: group }).waitFor();
  await shot(page, "groups");

  await go(page, "Aliases");
  await page.getByRole("button", { name: "Add an alias" }).click();
  await dialog.getByRole("textbox", { name: "Alias", exact: true }).fill(alias);
  await dialog.getByLabel("Delivers to").fill(group);
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.waitFor({ state: "hidden" });
  await search(page, `info-${RUN}`);
  const row = page.getByRole("button", { name: `info-${RUN}` });
  await row.click();
  await dialog.getByLabel("Description").fill("made by a test");
  await dialog.getByRole("button", { name: "Save" }).click();
  await page.getByText("made by a test").waitFor();
  await shot(page, "aliases");
  const address = (await row.innerText()).replace("*", "rmation");

  await go(page, "Check an address");
  await page.getByRole("textbox", { name: "Address" }).fill(address);
  await page.getByRole("button", { name: "Check" }).click();
  await page.getByText("Mail for this address is accepted.").waitFor();
  await shot(page, "check");
  await page.getByRole("textbox", { name: "Address" }).fill(`nobody-${address}`);
  await page.getByRole("button", { name: "Check" }).click();
  await page.getByText("Nobody has this address").waitFor();

  await go(page, "Aliases");
  await search(page, `info-${RUN}`);
  await row.click();
  await removeOpened(page);
  await page.getByText("Nothing matches").waitFor();
  await go(page, "Groups");
  await search(page, group);
  await page.getByRole("button", { name: group }).click();
  await removeOpened(page);
  await page.getByText("Nothing matches").waitFor();
  await finish(tab);
});

test("every page of the administration shows itself, on a desk and on a phone", async () => {
  const pages = [
    ["Users", "/users"], ["Groups", "/groups"], ["Aliases", "/aliases"], ["Contacts", "/contacts"],
    ["Check an address", "/check"], ["Domains", "/domains"], ["Queue", "/queue"], ["Directories", "/sources"],
    ["Kerberos", "/kerberos"], ["Failed sign-ons", "/failures"], ["Settings", "/settings"], ["Audit log", "/audit"],
    ["Your account", "/account"],
  ];
  for (const [size, viewport] of [["desk", DESK], ["phone", PHONE]]) {
    const tab = await administrator(viewport);
    await shot(tab.page, `${size}-start`);
    await assertFits(tab.page);
    for (const [title, path] of pages) {
      await tab.page.goto(`${URL}${path}`);
      await tab.page.getByRole("heading", { name: title, level: 1 }).waitFor();
      await tab.page.getByRole("status", { name: "Loading" }).waitFor({ state: "detached" });
      assert.match(await tab.page.title(), new RegExp(`^${title}`));
      await assertFits(tab.page);
      await shot(tab.page, `${size}${path.replace("/", "-")}`);
    }
    if (size === "phone") {
      await tab.page.getByRole("button", { name: "Menu" }).click();
      await tab.page.getByRole("link", { name: "Groups", exact: true }).waitFor();
      await tab.page.waitForTimeout(300);
      await shot(tab.page, "phone-menu");
      await tab.page.getByRole("link", { name: "Users", exact: true }).click();
      await tab.page.getByRole("button", { name: "Add a user" }).click();
      await tab.page.getByRole("dialog").getByLabel("Login name").waitFor();
      await shot(tab.page, "phone-user-add");
    }
    await tab.page.goto(`${URL}/source`);
    await tab.page.getByText("GNU Affero General Public License").waitFor();
    await finish(tab);
  }
});

test("a setting can be changed and goes back to its default", async () => {
  const tab = await administrator();
  const { page } = tab;
  const dialog = page.getByRole("dialog");
  await go(page, "Settings");
  const open = () => page.getByRole("row", { name: /ldap.time_limit_seconds/ }).getByRole("button").click();
  await open();
  await dialog.getByRole("textbox").fill("44");
  await dialog.getByRole("button", { name: "Save" }).click();
  await page.getByText("44 (changed)").waitFor();
  await open();
  await dialog.getByRole("button", { name: "Back to the default" }).click();
  await dialog.waitFor({ state: "hidden" });
  await page.getByText("(changed)").waitFor({ state: "detached" });
  await go(page, "Audit log");
  await page.getByText(/ldap.time_limit_seconds/).first().waitFor();
  await finish(tab);
});

test("another origin can neither frame the pages nor send a form to the API", async () => {
  const tab = await open(browser, URL);
  const answer = await tab.page.goto(`${URL}/`);
  const policy = (await answer.allHeaders())["content-security-policy"];
  assert.match(policy, /frame-ancestors 'none'/);
  assert.doesNotMatch(policy, /unsafe/);
  const status = await tab.context.request.post(`${URL}/api/v1/session`, {
    data: "name=x&password=y",
    headers: { "content-type": "text/plain", origin: "https://evil.example" },
    ignoreHTTPSErrors: true,
  });
  assert.equal(status.status(), 403);
  await finish(tab);
});

test("whoever has fewer rights sees fewer pages, and no rights only the own account", async () => {
  const tab = await administrator();
  const made = [];
  for (const rights of ["own_domain", "none"]) {
    const name = `${rights.replace("_", "-")}-${RUN}`;
    const answer = await tab.context.request.post(`${URL}/api/v1/users`, {
      data: { name, rights, password: "a test password 5" }, headers: { "x-posthouse-request": "1" }, ignoreHTTPSErrors: true,
    });
    assert.equal(answer.status(), 201);
    made.push((await answer.json()).id);
    const other = await open(browser, URL);
    await signOn(other.page, URL, name, "a test password 5");
    await other.page.getByText("You are signed on as").waitFor();
    const links = await other.page.getByRole("navigation").getByRole("link").allInnerTexts();
    const expected = rights === "none" ? ["Start"] : ["Start", "Users", "Groups", "Aliases", "Contacts", "Check an address", "Domains"];
    assert.deepEqual(links, expected);
    await shot(other.page, `rights-${rights}`);
    await other.page.goto(`${URL}/settings`);
    await other.page.getByRole("alert").waitFor();
    assert.match(await other.page.getByRole("alert").innerText(), /do not have the right/);
    await finish(other);
  }
  for (const id of made) {
    await tab.context.request.delete(`${URL}/api/v1/users/${id}?remove_mailbox=true`, {
      headers: { "x-posthouse-request": "1" }, ignoreHTTPSErrors: true,
    });
  }
  await finish(tab);
});
