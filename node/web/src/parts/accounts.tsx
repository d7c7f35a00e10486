import { Badge, Button, Group, Select, Stack, Switch, Textarea, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";

import { api, type Problem, type Schemas } from "../api/client";
import { lines } from "../format";
import { Empty, Loaded } from "./feedback";
import { type Column, Listing, Pages } from "./listing";
import { Page } from "./page";
import { useRights } from "../session";

/** Fields that all accounts have, as a form holds them. */
export interface AccountForm {
  domain: string;
  name: string;
  display_name: string;
  addresses: string;
  published: boolean;
  description: string;
}

type Account = Schemas["AccountView"];

export const newAccount: AccountForm = {
  domain: "", name: "", display_name: "", addresses: "", published: true, description: "",
};

export function accountForm(account: Account): AccountForm {
  return {
    domain: account.domain,
    name: account.name,
    display_name: account.display_name,
    addresses: account.addresses.join("\n"),
    published: account.published,
    description: account.description,
  };
}

export function accountInput(form: AccountForm, before?: Account) {
  return {
    domain: form.domain || undefined,
    name: form.name.trim(),
    display_name: form.display_name,
    addresses: lines(form.addresses),
    published: form.published,
    description: form.description,
    changed: before?.changed,
  };
}

export function useDomains() {
  return useQuery({ queryKey: ["domains"], queryFn: () => api("get", "/domains") });
}

/** The message of a problem beside the field that it is about. */
export function fieldError(error: unknown, field: string): string | undefined {
  const problem = error as Problem | null;
  return problem?.field === field ? problem.message : undefined;
}

/** The fields that all accounts have. */
export function AccountFields(props: {
  form: AccountForm;
  set: (form: AccountForm) => void;
  before?: Account;
  error: unknown;
  nameLabel: string;
  nameHelp?: string;
  withDisplayName?: boolean;
  withAddresses?: string;
  readOnly: boolean;
}) {
  const domains = useDomains().data ?? [];
  const { form, set, before, error, readOnly } = props;
  const fixed = readOnly || Boolean(before?.mapped);
  const shown = domains.find((domain) => (form.domain ? domain.id === form.domain : domain.primary)) ?? domains[0];
  return (
    <>
      {before?.mapped && (
        <Badge variant="light" color="blue" size="lg" tt="none" maw="100%">Comes from an external directory, is changed there</Badge>
      )}
      <TextInput label={props.nameLabel} description={props.nameHelp} value={form.name} readOnly={fixed} required
        rightSection={shown && domains.length === 1 ? undefined : null}
        onChange={(e) => set({ ...form, name: e.currentTarget.value })} error={fieldError(error, "name")}
        autoCapitalize="none" spellCheck={false} data-autofocus={!before || undefined} />
      {domains.length > 1 && (
        <Select label="Domain" data={domains.map((domain) => ({ value: domain.id, label: domain.name }))}
          value={shown?.id ?? null} onChange={(id) => set({ ...form, domain: id ?? "" })} allowDeselect={false}
          disabled={Boolean(before) || readOnly} error={fieldError(error, "domain")} />
      )}
      {props.withDisplayName !== false && (
        <TextInput label="Full name" value={form.display_name} readOnly={fixed}
          onChange={(e) => set({ ...form, display_name: e.currentTarget.value })} error={fieldError(error, "display_name")} />
      )}
      {props.withAddresses && (
        <Textarea label="Further addresses" description={props.withAddresses} value={form.addresses} readOnly={readOnly} autosize minRows={2}
          onChange={(e) => set({ ...form, addresses: e.currentTarget.value })} error={fieldError(error, "addresses")}
          autoCapitalize="none" spellCheck={false} />
      )}
      <TextInput label="Description" value={form.description} readOnly={readOnly}
        onChange={(e) => set({ ...form, description: e.currentTarget.value })} error={fieldError(error, "description")} />
    </>
  );
}

/** Whether the address book shows the account. */
export function PublishedSwitch({ form, set, readOnly }: { form: AccountForm; set: (form: AccountForm) => void; readOnly: boolean }) {
  return (
    <Switch label="Shown in the address book" checked={form.published} disabled={readOnly}
      onChange={(e) => set({ ...form, published: e.currentTarget.checked })} />
  );
}

const SIZE = 50;

/** A page that lists accounts of a kind, with search and leafing. */
export function AccountsPage<T extends { id: string }>(props: {
  title: string;
  about: string;
  kind: string;
  add: string;
  columns: Column<T>[];
  load: (query: { search: string; domain?: string; offset: number; limit: number }) => Promise<{ items: T[]; total: number }>;
  editor: (opened: { id?: string }, close: () => void) => ReactNode;
}) {
  const rights = useRights();
  const domains = useDomains().data ?? [];
  const [search, setSearch] = useState("");
  const [domain, setDomain] = useState<string | null>(null);
  const [page, setPage] = useState(1);
  const [opened, setOpened] = useState<{ id?: string } | null>(null);
  const [wanted] = useDebouncedValue(search.trim(), 250);
  const query = useQuery({
    queryKey: [props.kind, "list", wanted, domain, page],
    queryFn: () => props.load({ search: wanted, domain: domain ?? undefined, offset: (page - 1) * SIZE, limit: SIZE }),
    placeholderData: keepPreviousData,
  });
  const add = rights.changeAccounts && <Button onClick={() => setOpened({})}>{props.add}</Button>;
  return (
    <Page title={props.title} about={props.about} actions={add}>
      <Group align="flex-end">
        <TextInput type="search" aria-label="Search" placeholder="Search name, address, phone" flex={1} miw={180} maw={420} value={search}
          onChange={(e) => { setSearch(e.currentTarget.value); setPage(1); }} />
        {domains.length > 1 && (
          <Select aria-label="Domain" placeholder="All domains" clearable value={domain} onChange={(id) => { setDomain(id); setPage(1); }}
            data={domains.map((one) => ({ value: one.id, label: one.name }))} w={200} />
        )}
      </Group>
      <Loaded query={query}>
        {(found) =>
          found.total === 0 ? (
            <Empty title={wanted || domain ? "Nothing matches" : `There are no ${props.title.toLowerCase()} yet`}>
              {wanted ? "Try a shorter search text." : undefined}
            </Empty>
          ) : (
            <Stack>
              <Listing label={props.title} columns={props.columns} rows={found.items} rowKey={(row) => row.id}
                onOpen={(row) => setOpened({ id: row.id })} />
              <Pages total={found.total} size={SIZE} page={page} onPage={setPage} />
            </Stack>
          )
        }
      </Loaded>
      {opened && props.editor(opened, () => setOpened(null))}
    </Page>
  );
}
