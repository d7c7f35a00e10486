import { Button, Group, Select, Stack, Text } from "@mantine/core";
import { useState } from "react";

import type { Schemas } from "../../api/client";
import { OrderDialog } from "../../parts/order";
import { nodeName, useCluster } from "./cluster";

/** Where a user's mailbox is, and its move to another store. */
export function MailboxPlace({ user }: { user: Schemas["UserView"] }) {
  const cluster = useCluster().data;
  const [to, setTo] = useState<string | null>(null);
  const [asking, setAsking] = useState(false);
  if (!cluster || user.store === null || user.store === undefined) return <Text size="sm" c="dimmed">There is no mailbox yet.</Text>;
  const described = (id: number) => {
    const store = cluster.stores.find((one) => one.id === id);
    if (!store) return `Store ${id}`;
    const site = cluster.nodes.find((node) => node.id === store.home)?.site;
    return `Store ${id}: node ${nodeName(cluster, store.home)}${site ? `, site ${site}` : ""}`;
  };
  const others = cluster.stores.filter((store) => store.id !== user.store).map((store) => ({ value: String(store.id), label: described(store.id) }));
  const move = cluster.moves.find((one) => one.account === user.id);
  return (
    <Stack>
      <div><Text size="sm" c="dimmed">The mailbox is in</Text><Text>{described(user.store)}</Text></div>
      {move ? (
        <Text role="status">It is being moved to store {move.to}: {move.messages_done.toLocaleString()} of {move.messages.toLocaleString()} messages. The queue of moves is on the cluster page.</Text>
      ) : others.length === 0 ? (
        <Text size="sm" c="dimmed">There is no other store. Each further node of the cluster brings one.</Text>
      ) : (
        <Group align="flex-end">
          <Select label="Move it to" placeholder="Store" data={others} value={to} onChange={setTo} miw={260} />
          <Button variant="default" disabled={!to} onClick={() => setAsking(true)}>Move the mailbox</Button>
        </Group>
      )}
      {asking && to && (
        <OrderDialog title={`Move the mailbox of ${user.name}`} action="Move" order={{ kind: "move_mailbox", account: user.id, store: Number(to) }}
          onClose={() => { setAsking(false); setTo(null); }} />
      )}
    </Stack>
  );
}
