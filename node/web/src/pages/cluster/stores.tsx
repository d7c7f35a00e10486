import { Badge, Button, Group, NumberInput, Progress, Select, Stack, Text } from "@mantine/core";
import { useState } from "react";

import type { Schemas } from "../../api/client";
import { bytes } from "../../format";
import { Editor } from "../../parts/editor";
import { Empty } from "../../parts/feedback";
import { Listing } from "../../parts/listing";
import { type Order, OrderDialog } from "../../parts/order";
import { useRights } from "../../session";
import { type Cluster, nodeName } from "./cluster";

type Store = Schemas["ClusterStore"];
type Replica = Schemas["ClusterReplica"];

export function Stores({ cluster }: { cluster: Cluster }) {
  const [opened, setOpened] = useState<number | null>(null);
  const store = cluster.stores.find((one) => one.id === opened);
  if (cluster.stores.length === 0) return <Empty title="No store is known" />;
  return (
    <>
      <Listing label="Stores" rows={cluster.stores} rowKey={(one) => one.id} onOpen={(one) => setOpened(one.id)}
        columns={[
          { title: "Store", cell: (one) => `Store ${one.id}` },
          { title: "Home", cell: (one) => nodeName(cluster, one.home) },
          { title: "Led by", cell: (one) => nodeName(cluster, one.leader) },
          { title: "Replicas", cell: (one) => <Replicas store={one} cluster={cluster} /> },
          { title: "Mailboxes", cell: (one) => one.mailboxes.toLocaleString() },
          { title: "Size", cell: (one) => bytes(one.bytes) },
          { title: "Majority", cell: (one) => one.quorum ? <Badge color="green" variant="light">answers</Badge> : <Badge color="red" variant="filled">lost</Badge> },
        ]} />
      {store && <StoreDialog store={store} cluster={cluster} close={() => setOpened(null)} />}
    </>
  );
}

/** What a replica is short of, in words; empty when nothing. */
export function shortOf(replica: Replica): string {
  const parts = [];
  if (!replica.reachable) parts.push("not reached");
  if (replica.lag) parts.push(`${replica.lag.toLocaleString()} entries behind`);
  if (replica.missing_bodies) parts.push(`${replica.missing_bodies.toLocaleString()} bodies missing`);
  return parts.join(", ");
}

function Replicas({ store, cluster }: { store: Store; cluster: Cluster }) {
  return (
    <Stack gap={4}>
      {store.replicas.map((replica) => (
        <div key={replica.node}>
          <Group gap={6}>
            <Text size="sm" span>{nodeName(cluster, replica.node)}</Text>
            {!replica.voter && <Badge size="xs" color="gray" variant="light">no vote</Badge>}
            {shortOf(replica) && <Text size="xs" c="orange" span>{shortOf(replica)}</Text>}
          </Group>
          {replica.progress !== null && replica.progress !== undefined && (
            <Progress value={replica.progress} size="sm" aria-label={`Replica on node ${replica.node}: ${Math.round(replica.progress)} %`} />
          )}
        </div>
      ))}
      {store.replicas.length < store.wanted && <Text size="xs" c="dimmed">{store.wanted} are wanted</Text>}
    </Stack>
  );
}

function StoreDialog({ store, cluster, close }: { store: Store; cluster: Cluster; close: () => void }) {
  const rights = useRights();
  const [order, setOrder] = useState<Order | null>(null);
  const [count, setCount] = useState<number | string>(store.wanted);
  const [leader, setLeader] = useState<string | null>(null);
  if (order) {
    const action = { promote: "Go on with this replica", set_replicas: "Change", transfer: "Hand over" }[order.kind as string] ?? "Go on";
    return <OrderDialog title={`Store ${store.id}`} action={action} order={order} onClose={() => setOrder(null)} />;
  }
  const others = store.replicas.filter((replica) => replica.node !== store.leader && replica.voter)
    .map((replica) => ({ value: String(replica.node), label: nodeName(cluster, replica.node) }));
  return (
    <Editor title={`Store ${store.id}`} opened onClose={close}>
      <Stack>
        <Text>{store.mailboxes.toLocaleString()} mailboxes, {bytes(store.bytes)}. At home on node {nodeName(cluster, store.home)}, led by {nodeName(cluster, store.leader)}.</Text>
        <Replicas store={store} cluster={cluster} />
        {rights.full && (
          <>
            <Group align="flex-end">
              <NumberInput label="Replicas wanted" value={count} onChange={setCount} min={1} max={5} allowDecimal={false} maw={160} />
              <Button variant="default" disabled={Number(count) === store.wanted || !count}
                onClick={() => setOrder({ kind: "set_replicas", store: store.id, replicas: Number(count) })}>Change</Button>
            </Group>
            {others.length > 0 && (
              <Group align="flex-end">
                <Select label="Let another node lead" placeholder="Node" data={others} value={leader} onChange={setLeader} />
                <Button variant="default" disabled={!leader} onClick={() => setOrder({ kind: "transfer", store: store.id, node: Number(leader) })}>Hand over</Button>
              </Group>
            )}
            {!store.quorum && (
              <Stack gap="xs">
                <Text size="sm">The majority is lost. If the other nodes will not come back, go on with one replica: what only they had is missing then.</Text>
                <Group>
                  {store.replicas.filter((replica) => replica.reachable).map((replica) => (
                    <Button key={replica.node} color="red" variant="light" onClick={() => setOrder({ kind: "promote", store: store.id, node: replica.node })}>
                      Go on with node {nodeName(cluster, replica.node)}
                    </Button>
                  ))}
                </Group>
              </Stack>
            )}
          </>
        )}
      </Stack>
    </Editor>
  );
}
