import { Badge, Button, Checkbox, Group, Stack, Textarea, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, type Schemas } from "../api/client";
import { lines } from "../format";
import { fieldError, useDomains } from "../parts/accounts";
import { Editor } from "../parts/editor";
import { Loaded } from "../parts/feedback";
import { Listing } from "../parts/listing";
import { Page } from "../parts/page";
import { RemoveButton } from "../parts/remove";
import { useRights } from "../session";

type Domain = Schemas["DomainView"];

export function DomainsPage() {
  const domains = useDomains();
  const rights = useRights();
  const [opened, setOpened] = useState<{ domain?: Domain } | null>(null);
  return (
    <Page title="Domains" about="The mail domains of this cluster. Names without a domain belong to the primary one."
      actions={rights.full && <Button onClick={() => setOpened({})}>Add a domain</Button>}>
      <Loaded query={domains}>
        {(found) => (
          <Listing label="Domains" rows={found} rowKey={(domain) => domain.id} onOpen={(domain) => setOpened({ domain })}
            columns={[
              { title: "Domain", cell: (domain) => domain.name },
              { title: "Role", cell: (domain) => (domain.primary ? <Badge variant="light">primary</Badge> : "—") },
              { title: "Other names", cell: (domain) => domain.aliases.join(", ") || "—" },
              { title: "Accounts", cell: (domain) => domain.accounts },
            ]} />
        )}
      </Loaded>
      {opened && <DomainEditor before={opened.domain} close={() => setOpened(null)} />}
    </Page>
  );
}

function DomainEditor({ before, close }: { before?: Domain; close: () => void }) {
  const queries = useQueryClient();
  const readOnly = !useRights().full;
  const [name, setName] = useState(before?.name ?? "");
  const [aliases, setAliases] = useState(before?.aliases.join("\n") ?? "");
  const [primary, setPrimary] = useState(before?.primary ?? false);
  const [description, setDescription] = useState(before?.description ?? "");
  const save = useMutation({
    mutationFn: () => {
      const body = { name: name.trim(), aliases: lines(aliases), primary, description };
      return before ? api("put", "/domains/{id}", { at: { id: before.id }, body }) : api("post", "/domains", { body });
    },
    onSuccess: async () => {
      close();
      await queries.invalidateQueries();
    },
  });
  return (
    <Editor title={before?.name ?? "Add a domain"} opened onClose={close} busy={save.isPending} error={save.error}
      onSave={readOnly ? undefined : () => save.mutate()}
      extra={before && !readOnly && !before.primary && (
        <RemoveButton what={before.name} consequence="Only a domain without accounts can be removed." onRemoved={close}
          remove={() => api("delete", "/domains/{id}", { at: { id: before.id } })} />
      )}>
      <Stack>
        <TextInput label="Domain" description={before ? "After a change the old name keeps working for mail." : "Such as example.com"} value={name}
          readOnly={readOnly} required onChange={(e) => setName(e.currentTarget.value)} error={fieldError(save.error, "name")}
          autoCapitalize="none" spellCheck={false} data-autofocus />
        <Textarea label="Other names for the same domain" description="One in each line" value={aliases} readOnly={readOnly} autosize minRows={2}
          onChange={(e) => setAliases(e.currentTarget.value)} error={fieldError(save.error, "aliases")} autoCapitalize="none" spellCheck={false} />
        <TextInput label="Description" value={description} readOnly={readOnly} onChange={(e) => setDescription(e.currentTarget.value)} />
        <Group>
          <Checkbox label="Primary domain" checked={primary} disabled={readOnly || before?.primary}
            onChange={(e) => setPrimary(e.currentTarget.checked)} />
        </Group>
      </Stack>
    </Editor>
  );
}
