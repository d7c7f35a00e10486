import { Alert, Badge, Button, Group, NumberInput, Select, Stack, Switch, Text, TextInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, type Schemas } from "../api/client";
import { fieldError, useDomains } from "../parts/accounts";
import { DirectoryFields, type DirectoryForm, directoryInput, newDirectory } from "../parts/directory";
import { Editor } from "../parts/editor";
import { Empty, Loaded, ProblemAlert } from "../parts/feedback";
import { Listing } from "../parts/listing";
import { Page } from "../parts/page";
import { Preview } from "../parts/preview";
import { RemoveButton } from "../parts/remove";
import { useRights } from "../session";

type Source = Schemas["SourceView"];

export function SourcesPage() {
  const sources = useQuery({ queryKey: ["sources"], queryFn: () => api("get", "/sources"), refetchInterval: 10_000 });
  const rights = useRights();
  const [opened, setOpened] = useState<{ source?: Source } | null>(null);
  return (
    <Page title="Directories" about="Active Directory domains whose users, groups and contacts appear here and keep their sign-on."
      actions={rights.full && <Button onClick={() => setOpened({})}>Add a directory</Button>}>
      <Loaded query={sources}>
        {(found) =>
          found.length === 0 ? (
            <Empty title="No directory is joined">Users can still be made by hand. Join a directory to have its users here by themselves.</Empty>
          ) : (
            <Listing label="Directories" rows={found} rowKey={(source) => source.id} onOpen={(source) => setOpened({ source })}
              columns={[
                { title: "Name", cell: (source) => source.name },
                { title: "Directory", cell: (source) => source.directory_domain },
                { title: "Accounts", cell: (source) => source.accounts },
                { title: "State", cell: (source) => <SourceState source={source} /> },
              ]} />
          )
        }
      </Loaded>
      {opened && <SourceEditor before={opened.source} close={() => setOpened(null)} />}
    </Page>
  );
}

function SourceState({ source }: { source: Source }) {
  if (!source.enabled) return <Badge color="gray" variant="light">not read</Badge>;
  if (source.problem) return <Text size="sm" c="red" className="wrap">{source.problem}</Text>;
  return source.read ? <Badge color="green" variant="light">current</Badge> : <Badge color="yellow" variant="light">first reading</Badge>;
}

function form(source: Source): DirectoryForm {
  return {
    directory_domain: source.directory_domain,
    controllers: source.controllers.join("\n"),
    tls: source.tls,
    ca: source.ca,
    bind_name: source.bind_name,
    bind_password: "",
    base: source.base,
    user_filter: source.user_filter,
  };
}

function SourceEditor({ before, close }: { before?: Source; close: () => void }) {
  const queries = useQueryClient();
  const readOnly = !useRights().full;
  const domains = useDomains().data ?? [];
  const [directory, setDirectory] = useState<DirectoryForm>(before ? form(before) : newDirectory);
  const [name, setName] = useState(before?.name ?? "");
  const [domain, setDomain] = useState<string | null>(before?.domain ?? null);
  const [threshold, setThreshold] = useState<number | string>(before?.removal_threshold_percent ?? 10);
  const [enabled, setEnabled] = useState(before?.enabled ?? true);
  const body = () => ({
    ...directoryInput(directory),
    bind_password: directory.bind_password || null,
    name,
    domain: domain ?? undefined,
    removal_threshold_percent: Number(threshold),
    enabled,
  });
  const save = useMutation({
    mutationFn: () =>
      before
        ? api("put", "/sources/{id}", { at: { id: before.id }, body: body() })
        : api("post", "/sources", { body: body() }),
    onSuccess: async () => {
      close();
      await queries.invalidateQueries();
    },
  });
  const test = useMutation({ mutationFn: () => api("post", "/sources/preview", { body: { ...body(), id: before?.id } }) });
  const sync = useMutation({
    mutationFn: () => api("post", "/sources/{id}/sync", { at: { id: before?.id ?? "" } }),
    onSuccess: () => queries.invalidateQueries(),
  });
  const confirm = useMutation({
    mutationFn: () => api("post", "/sources/{id}/confirm", { at: { id: before?.id ?? "" } }),
    onSuccess: async () => {
      sync.reset();
      await queries.invalidateQueries();
    },
  });
  const report = confirm.data ?? sync.data;
  const error = save.error ?? test.error;
  return (
    <Editor title={before?.name ?? "Add a directory"} opened onClose={close} busy={save.isPending} error={save.error}
      onSave={readOnly ? undefined : () => save.mutate()}
      extra={before && !readOnly && (
        <RemoveButton what={before.name} consequence="Its accounts are disabled and stay, with their mailboxes." onRemoved={close}
          remove={() => api("delete", "/sources/{id}", { at: { id: before.id } })} />
      )}>
      <Stack>
        {before?.problem && <Alert color="red" variant="light" title="The last reading failed">{before.problem}</Alert>}
        <DirectoryFields form={directory} set={setDirectory} readOnly={readOnly} error={error}
          passwordHelp={before?.has_password ? "Leave it empty to keep the stored one." : undefined} />
        <TextInput label="Name for administrators" value={name} readOnly={readOnly} onChange={(e) => setName(e.currentTarget.value)}
          placeholder={directory.directory_domain} error={fieldError(error, "name")} />
        {domains.length > 1 && (
          <Select label="Mail domain" data={domains.map((one) => ({ value: one.id, label: one.name }))} disabled={readOnly} allowDeselect={false}
            value={domain ?? domains.find((one) => one.primary)?.id ?? null} onChange={setDomain} />
        )}
        <NumberInput label="Ask before more than this share of the accounts disappears, in percent" value={threshold} onChange={setThreshold}
          min={0} max={100} readOnly={readOnly} />
        <Switch label="Read this directory" checked={enabled} disabled={readOnly} onChange={(e) => setEnabled(e.currentTarget.checked)} />
        {!readOnly && (
          <Group>
            <Button variant="default" onClick={() => test.mutate()} loading={test.isPending}>Test and preview</Button>
            {before && <Button variant="default" onClick={() => sync.mutate()} loading={sync.isPending}>Read now</Button>}
          </Group>
        )}
        <ProblemAlert error={test.error ?? sync.error ?? confirm.error} />
        {report && (
          <Alert color={report.withheld > 0 ? "yellow" : "green"} variant="light" role="status" title="The directory was read">
            {report.changed} made or changed, {report.disabled} disabled. {report.notes.join(" ")}
            {report.withheld > 0 && (
              <Button mt="sm" color="red" variant="light" loading={confirm.isPending} onClick={() => confirm.mutate()}>
                Disable these {report.withheld} accounts
              </Button>
            )}
          </Alert>
        )}
        {test.data && <Preview preview={test.data} />}
      </Stack>
    </Editor>
  );
}
