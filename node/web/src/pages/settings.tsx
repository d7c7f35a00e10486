import { Button, Group, NumberInput, Stack, Switch, Text, TextInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, type Schemas } from "../api/client";
import { Editor } from "../parts/editor";
import { Empty, Loaded } from "../parts/feedback";
import { Listing } from "../parts/listing";
import { Page } from "../parts/page";
import { useRights } from "../session";

type Setting = Schemas["SettingView"];

export function SettingsPage() {
  const settings = useQuery({ queryKey: ["settings"], queryFn: () => api("get", "/settings") });
  const [search, setSearch] = useState("");
  const [opened, setOpened] = useState<Setting | null>(null);
  const wanted = search.trim().toLowerCase();
  return (
    <Page title="Settings" about="Limits and intervals of the whole cluster. Each takes effect at once.">
      <TextInput type="search" aria-label="Search" placeholder="Search" maw={420} value={search} onChange={(e) => setSearch(e.currentTarget.value)} />
      <Loaded query={settings}>
        {(all) => {
          const found = all.filter((one) => `${one.name} ${one.description}`.toLowerCase().includes(wanted));
          return found.length === 0 ? (
            <Empty title="Nothing matches" />
          ) : (
            <Listing label="Settings" rows={found} rowKey={(setting) => setting.name} onOpen={setOpened}
              columns={[
                { title: "Setting", cell: (setting) => setting.description },
                { title: "Value", cell: (setting) => <Value setting={setting} /> },
                { title: "Name", cell: (setting) => <Text span size="sm" c="dimmed">{setting.name}</Text> },
              ]} />
          );
        }}
      </Loaded>
      {opened && <SettingEditor setting={opened} close={() => setOpened(null)} />}
    </Page>
  );
}

function Value({ setting }: { setting: Setting }) {
  const changed = JSON.stringify(setting.value) !== JSON.stringify(setting.default);
  return <Text span fw={changed ? 700 : 400} className="number">{show(setting.value)}{changed ? " (changed)" : ""}</Text>;
}

function show(value: unknown): string {
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (value === "" || value === null || value === undefined) return "—";
  return typeof value === "number" ? value.toLocaleString() : String(value);
}

function SettingEditor({ setting, close }: { setting: Setting; close: () => void }) {
  const queries = useQueryClient();
  const readOnly = !useRights().full;
  const [value, setValue] = useState<unknown>(setting.value);
  const save = useMutation({
    mutationFn: (next: unknown) => api("put", "/settings/{name}", { at: { name: setting.name }, body: { value: next } }),
    onSuccess: async () => {
      close();
      await queries.invalidateQueries();
    },
  });
  return (
    <Editor title={setting.name} opened onClose={close} busy={save.isPending} error={save.error}
      onSave={readOnly ? undefined : () => save.mutate(setting.kind === "integer" ? Number(value) : value)}
      extra={!readOnly && <Button variant="default" onClick={() => save.mutate(null)}>Back to the default</Button>}>
      <Stack>
        {setting.kind === "bool" && (
          <Switch label={setting.description} checked={Boolean(value)} disabled={readOnly} onChange={(e) => setValue(e.currentTarget.checked)} />
        )}
        {setting.kind === "integer" && (
          <NumberInput label={setting.description} value={Number(value)} onChange={setValue} min={setting.min ?? undefined} max={setting.max ?? undefined}
            allowDecimal={false} readOnly={readOnly} data-autofocus />
        )}
        {setting.kind === "text" && (
          <TextInput label={setting.description} value={String(value ?? "")} onChange={(e) => setValue(e.currentTarget.value)} readOnly={readOnly} />
        )}
        <Group gap="xs">
          <Text size="sm" c="dimmed">
            Default: {show(setting.default)}
            {setting.kind === "integer" && `; from ${show(setting.min)} to ${show(setting.max)}`}
          </Text>
        </Group>
      </Stack>
    </Editor>
  );
}
