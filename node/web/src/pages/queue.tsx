import { Button, Group, List, Stack, Text } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, type Schemas } from "../api/client";
import { bytes, when } from "../format";
import { Editor } from "../parts/editor";
import { Empty, Loaded, ProblemAlert } from "../parts/feedback";
import { Listing } from "../parts/listing";
import { Page } from "../parts/page";
import { RemoveButton } from "../parts/remove";
import { useRights } from "../session";

type Entry = Schemas["QueueEntry"];

export function QueuePage() {
  const queries = useQueryClient();
  const rights = useRights();
  const queue = useQuery({ queryKey: ["queue"], queryFn: () => api("get", "/queue", { query: { limit: 500 } }), refetchInterval: 10_000 });
  const retry = useMutation({ mutationFn: () => api("post", "/queue/retry"), onSuccess: () => queries.invalidateQueries() });
  const [opened, setOpened] = useState<Entry | null>(null);
  return (
    <Page title="Queue" about="Messages that were accepted and still have somewhere to go. They are tried again by themselves."
      actions={rights.full && Boolean(queue.data?.length) && (
        <Button variant="default" loading={retry.isPending} onClick={() => retry.mutate()}>Try all now</Button>
      )}>
      <ProblemAlert error={retry.error} />
      <Loaded query={queue}>
        {(found) =>
          found.length === 0 ? (
            <Empty title="The queue is empty">Every message has been delivered.</Empty>
          ) : (
            <Listing label="Queue" rows={found} rowKey={(entry) => entry.id} onOpen={setOpened}
              columns={[
                { title: "From", cell: (entry) => entry.sender || "report of this node" },
                { title: "To", cell: (entry) => summary(entry) },
                { title: "Accepted", cell: (entry) => when(entry.accepted) },
                { title: "Next attempt", cell: (entry) => when(entry.due) },
                { title: "Size", cell: (entry) => bytes(entry.size) },
              ]} />
          )
        }
      </Loaded>
      {opened && <EntryDialog entry={opened} close={() => setOpened(null)} full={rights.full} />}
    </Page>
  );
}

function summary(entry: Entry): string {
  const [first, ...others] = entry.recipients;
  if (!first) return "—";
  return others.length > 0 ? `${first.address} and ${others.length} more` : first.address;
}

function EntryDialog({ entry, close, full }: { entry: Entry; close: () => void; full: boolean }) {
  const queries = useQueryClient();
  const retry = useMutation({
    mutationFn: () => api("post", "/queue/{id}/retry", { at: { id: entry.id } }),
    onSuccess: async () => {
      close();
      await queries.invalidateQueries();
    },
  });
  return (
    <Editor title={`Message ${entry.id}`} opened onClose={close}
      extra={full && (
        <RemoveButton what={`message ${entry.id}`} onRemoved={close} remove={() => api("delete", "/queue/{id}", { at: { id: entry.id } })}
          consequence="The message is lost, and its sender is not told." />
      )}>
      <Stack>
        <Text>From {entry.sender || "this node"}, accepted {when(entry.accepted)}, {bytes(entry.size)}</Text>
        <List>
          {entry.recipients.map((recipient) => (
            <List.Item key={recipient.address} className="wrap">
              {recipient.address} <Text span size="sm" c="dimmed">{recipient.attempts} attempts</Text>
              {recipient.last_error && <Text size="sm" c="red" className="wrap">{recipient.last_error}</Text>}
            </List.Item>
          ))}
        </List>
        <ProblemAlert error={retry.error} />
        {full && <Group><Button variant="default" loading={retry.isPending} onClick={() => retry.mutate()}>Try now</Button></Group>}
      </Stack>
    </Editor>
  );
}
