import { Alert, Badge, Button, Checkbox, Group, NumberInput, PasswordInput, Select, Stack, Switch, Tabs, Text } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, type Schemas } from "../api/client";
import { bytes, when } from "../format";
import { AccountFields, AccountsPage, accountForm, accountInput, fieldError, newAccount, PublishedSwitch } from "../parts/accounts";
import { Editor } from "../parts/editor";
import { ProblemAlert } from "../parts/feedback";
import { PasswordStrength } from "../parts/password";
import { newPerson, PersonFields } from "../parts/person";
import { RemoveButton } from "../parts/remove";
import { RIGHTS, rightsLabel, useRights } from "../session";
import { MailboxPlace } from "./cluster/mailbox";

type User = Schemas["UserView"];

export function UsersPage() {
  return (
    <AccountsPage<User>
      title="Users"
      about="Everybody with a mailbox. Users of an external directory appear here by themselves."
      kind="users"
      add="Add a user"
      load={(query) => api("get", "/users", { query })}
      columns={[
        { title: "Name", cell: (user) => user.display_name || user.name },
        { title: "Address", cell: (user) => user.mail },
        { title: "Kind", cell: (user) => (user.mapped ? "Directory" : "Local") },
        { title: "State", cell: (user) => <StateBadge user={user} /> },
        { title: "Administers", cell: (user) => (user.effective_rights === "none" ? "—" : rightsLabel(user.effective_rights)) },
      ]}
      editor={(opened, close) => (opened.id ? <Existing id={opened.id} close={close} /> : <UserEditor close={close} />)}
    />
  );
}

function StateBadge({ user }: { user: User }) {
  return user.enabled ? (
    <Badge color="green" variant="light">enabled</Badge>
  ) : (
    <Badge color="gray" variant="light" title={user.disabled_because}>disabled</Badge>
  );
}

function Existing({ id, close }: { id: string; close: () => void }) {
  const query = useQuery({ queryKey: ["users", id], queryFn: () => api("get", "/users/{id}", { at: { id } }), gcTime: 0 });
  if (!query.data) {
    return <Editor title="User" opened onClose={close}>{query.error ? <ProblemAlert error={query.error} /> : <Text>Loading …</Text>}</Editor>;
  }
  return <UserEditor key={query.data.changed} before={query.data} close={close} />;
}

function UserEditor({ before, close }: { before?: User; close: () => void }) {
  const rights = useRights();
  const queries = useQueryClient();
  const readOnly = !rights.changeAccounts;
  const [account, setAccount] = useState(before ? accountForm(before) : newAccount);
  const [person, setPerson] = useState<Schemas["PersonView"]>(before?.person ?? newPerson);
  const [own, setOwn] = useState<Schemas["RightsName"]>(before?.rights ?? "none");
  const [quota, setQuota] = useState<number | string>(before?.quota_bytes ? before.quota_bytes / 1048576 : "");
  const [items, setItems] = useState<number | string>(before?.quota_items ?? "");
  const [password, setPassword] = useState("");
  const [mailbox, setMailbox] = useState(false);
  const save = useMutation({
    mutationFn: () => {
      const body = {
        ...accountInput(account, before),
        person,
        rights: own,
        quota_bytes: quota === "" ? null : Math.round(Number(quota) * 1048576),
        quota_items: items === "" ? null : Number(items),
      };
      return before
        ? api("put", "/users/{id}", { at: { id: before.id }, body })
        : api("post", "/users", { body: { ...body, password: password || null } });
    },
    onSuccess: async () => {
      close();
      await queries.invalidateQueries();
    },
  });
  const title = before ? before.display_name || before.name : "Add a user";
  return (
    <Editor title={title} opened onClose={close} busy={save.isPending} error={save.error} onSave={readOnly ? undefined : () => save.mutate()}
      extra={before && !readOnly && !before.mapped && (
        <RemoveButton what={before.mail || before.name} onRemoved={close}
          consequence={<Stack>
            <Text>The user can no longer sign on and gets no mail.</Text>
            <Checkbox label="Remove the mailbox with all messages too" checked={mailbox} onChange={(e) => setMailbox(e.currentTarget.checked)} />
          </Stack>}
          remove={() => api("delete", "/users/{id}", { at: { id: before.id }, query: { remove_mailbox: mailbox } })} />
      )}>
      <Tabs defaultValue="account" keepMounted>
        <Tabs.List>
          <Tabs.Tab value="account">Account</Tabs.Tab>
          <Tabs.Tab value="person">Person</Tabs.Tab>
          <Tabs.Tab value="limits">Rights and limits</Tabs.Tab>
          {before && !readOnly && <Tabs.Tab value="sign-on">Sign-on</Tabs.Tab>}
          {before && rights.full && <Tabs.Tab value="mailbox">Mailbox</Tabs.Tab>}
        </Tabs.List>
        <Tabs.Panel value="account" pt="md">
          <Stack>
            <AccountFields form={account} set={setAccount} before={before} error={save.error} readOnly={readOnly} nameLabel="Login name"
              nameHelp={before ? "After a change the old address keeps working." : "Also the first part of the mail address."}
              withAddresses="One in each line: a name in the same domain, or a full address. Others see the first one." />
            {!before && <NewPassword password={password} set={setPassword} name={account.name} error={save.error} />}
            <PublishedSwitch form={account} set={setAccount} readOnly={readOnly} />
          </Stack>
        </Tabs.Panel>
        <Tabs.Panel value="person" pt="md">
          <Stack><PersonFields person={person} set={setPerson} readOnly={readOnly || Boolean(before?.mapped)} error={save.error} /></Stack>
        </Tabs.Panel>
        <Tabs.Panel value="limits" pt="md">
          <Stack>
            <Select label="May administer" data={RIGHTS} value={own} allowDeselect={false} disabled={readOnly}
              onChange={(value) => setOwn((value ?? "none") as Schemas["RightsName"])} />
            {before && before.effective_rights !== before.rights && (
              <Text size="sm" c="dimmed">With the rights of groups: {rightsLabel(before.effective_rights)}.</Text>
            )}
            <NumberInput label="Largest mailbox in MiB" placeholder="unlimited" value={quota} onChange={setQuota} min={0} readOnly={readOnly}
              description={before ? `In use: ${bytes(before.used_bytes)} in ${before.used_items ?? "—"} messages` : undefined} />
            <NumberInput label="Most messages" placeholder="unlimited" value={items} onChange={setItems} min={0} allowDecimal={false} readOnly={readOnly} />
          </Stack>
        </Tabs.Panel>
        {before && !readOnly && <Tabs.Panel value="sign-on" pt="md"><SignOn user={before} /></Tabs.Panel>}
        {before && rights.full && <Tabs.Panel value="mailbox" pt="md"><MailboxPlace user={before} /></Tabs.Panel>}
      </Tabs>
    </Editor>
  );
}

function NewPassword(props: { password: string; set: (text: string) => void; name: string; error: unknown }) {
  return (
    <div>
      <PasswordInput label="Password" value={props.password} onChange={(e) => props.set(e.currentTarget.value)} autoComplete="new-password"
        error={fieldError(props.error, "password")} />
      <PasswordStrength password={props.password} name={props.name} />
    </div>
  );
}

/** State, password and lock-out: each takes effect at once. */
function SignOn({ user }: { user: User }) {
  const queries = useQueryClient();
  const [password, setPassword] = useState("");
  const at = { id: user.id };
  const again = () => queries.invalidateQueries();
  const state = useMutation({
    mutationFn: (enabled: boolean) => api("put", "/users/{id}/state", { at, body: { enabled } }),
    onSuccess: again,
  });
  const set = useMutation({
    mutationFn: () => api("put", "/users/{id}/password", { at, body: { password } }),
    onSuccess: () => setPassword(""),
  });
  const unlock = useMutation({ mutationFn: () => api("post", "/users/{id}/unlock", { at }) });
  return (
    <Stack>
      <Switch label="May sign on" description="Mail is delivered in either case." checked={user.enabled} disabled={state.isPending}
        onChange={(e) => state.mutate(e.currentTarget.checked)} />
      {!user.enabled && <Text size="sm" c="dimmed">Disabled because: {user.disabled_because}</Text>}
      <ProblemAlert error={state.error} />
      {user.mapped ? (
        <Text size="sm">The password lives in the external directory. Names: {[...user.login_names, ...user.principals].join(", ") || "—"}</Text>
      ) : (
        <Stack gap="xs">
          <NewPassword password={password} set={setPassword} name={user.name} error={set.error} />
          <Group>
            <Button variant="default" onClick={() => set.mutate()} loading={set.isPending} disabled={password === ""}>Set the password</Button>
          </Group>
          {set.isSuccess && <Alert color="green" role="status">The password is set.</Alert>}
          <ProblemAlert error={set.error} />
        </Stack>
      )}
      <Group>
        <Button variant="default" loading={unlock.isPending} onClick={() => unlock.mutate()}>End a lock-out</Button>
        {unlock.isSuccess && <Text size="sm" role="status">The account is not locked out.</Text>}
      </Group>
      <ProblemAlert error={unlock.error} />
      <Text size="sm" c="dimmed">Created {when(user.created)}, changed {when(user.changed)}</Text>
    </Stack>
  );
}
