import { Badge, Button, Checkbox, Group, SimpleGrid, Stack, Text, TextInput } from "@mantine/core";
import { useState } from "react";

import { type Schemas, sentence } from "../../api/client";
import { bytes, span, when } from "../../format";
import { Editor } from "../../parts/editor";
import { Empty } from "../../parts/feedback";
import { Listing } from "../../parts/listing";
import { type Order, OrderButton, OrderDialog } from "../../parts/order";
import { useRights } from "../../session";
import type { Cluster } from "./cluster";
import { InviteShown } from "./invites";

type Node = Schemas["ClusterNode"];

export function NodeBadge({ node }: { node: Node }) {
  if (node.state === "removed") return <Badge color="gray" variant="light">removed</Badge>;
  if (!node.reachable) return <Badge color="red" variant="filled">not reached</Badge>;
  if (node.state === "draining") return <Badge color="yellow" variant="light">being emptied</Badge>;
  return <Badge color="green" variant="light">active</Badge>;
}

const unknown = (value: number | null | undefined, unit: string) => (value === null || value === undefined ? "—" : `${value} ${unit}`);

export function Nodes({ cluster }: { cluster: Cluster }) {
  const [opened, setOpened] = useState<number | null>(null);
  const node = cluster.nodes.find((one) => one.id === opened);
  if (cluster.nodes.length === 0) return <Empty title="No node is known" />;
  return (
    <>
      <Listing label="Nodes" rows={cluster.nodes} rowKey={(one) => one.id} onOpen={(one) => setOpened(one.id)}
        columns={[
          { title: "Node", cell: (one) => `${one.id} ${one.host}` },
          { title: "Site", cell: (one) => one.site },
          { title: "State", cell: (one) => <NodeBadge node={one} /> },
          { title: "Behind", cell: (one) => unknown(one.domain_lag, "entries") },
          { title: "Leads stores", cell: (one) => one.stores_led.join(", ") || "—" },
          { title: "Free on disk", cell: (one) => bytes(one.disk_free) },
          { title: "Version", cell: (one) => one.version || "—" },
        ]} />
      {node && <NodeDialog node={node} cluster={cluster} close={() => setOpened(null)} />}
    </>
  );
}

function NodeDialog({ node, cluster, close }: { node: Node; cluster: Cluster; close: () => void }) {
  const rights = useRights();
  const facts: [string, string][] = [
    ["Site", node.site],
    ["Addresses", node.addresses.join(", ") || "—"],
    ["Version", `${node.version || "—"}, level ${node.level}`],
    ["Running for", node.uptime === null || node.uptime === undefined ? "—" : span(node.uptime * 1000)],
    ["Node certificate", unknown(node.certificate_days, "days left")],
    ["Clock", unknown(node.clock_difference_ms, "ms from here")],
    ["Disk", `${bytes(node.disk_free)} free of ${bytes(node.disk_total)}`],
    ["Behind", unknown(node.domain_lag, "entries of the directory")],
    ["Leads stores", node.stores_led.join(", ") || "—"],
    ["Has replicas of", node.stores_held.join(", ") || "—"],
  ];
  return (
    <Editor title={`Node ${node.id}: ${node.host}`} opened onClose={close}>
      <Stack>
        <Group gap="xs">
          <NodeBadge node={node} />
          {node.since && <Text size="sm" c="dimmed">since {when(node.since)}</Text>}
        </Group>
        {node.problem && <Text c="red" className="wrap">{sentence(node.problem)}</Text>}
        <SimpleGrid cols={{ base: 1, xs: 2 }}>
          {facts.map(([label, value]) => <div key={label}><Text size="sm" c="dimmed">{label}</Text><Text className="wrap">{value}</Text></div>)}
        </SimpleGrid>
        {node.what_if_lost && <div><Text size="sm" c="dimmed">If it were lost now</Text><Text className="wrap">{sentence(node.what_if_lost)}</Text></div>}
        {rights.full && node.state !== "removed" && <Actions node={node} self={node.id === cluster.this_node} />}
      </Stack>
    </Editor>
  );
}

function Actions({ node, self }: { node: Node; self: boolean }) {
  const id = node.id;
  return (
    <Group>
      <SiteButton node={node} />
      <OrderButton label="Empty" title={`Empty node ${id}`} order={{ kind: "drain", node: id }} />
      {!node.reachable && (
        <OrderButton label="Replace" title={`Replace node ${id}`} order={{ kind: "replace", node: id }}
          after={(outcome) => outcome.invite ? <InviteShown invite={outcome.invite} /> : <Text>It is being replaced.</Text>} />
      )}
      {self
        ? <OrderButton label="Leave" title="Leave the cluster" order={{ kind: "leave" }} button={{ color: "red", variant: "light" }} />
        : <RemoveNode node={node} />}
    </Group>
  );
}

function SiteButton({ node }: { node: Node }) {
  const [site, setSite] = useState<string | null>(null);
  const [order, setOrder] = useState<Order | null>(null);
  if (order) {
    return <OrderDialog title={`Site of node ${node.id}`} action="Change" order={order} onClose={() => { setOrder(null); setSite(null); }} />;
  }
  if (site === null) return <Button variant="default" onClick={() => setSite(node.site)}>Change the site</Button>;
  return (
    <Group align="flex-end">
      <TextInput label="Site" value={site} onChange={(e) => setSite(e.currentTarget.value)} maxLength={64} />
      <Button variant="default" disabled={site.trim() === "" || site.trim() === node.site}
        onClick={() => setOrder({ kind: "set_site", node: node.id, site: site.trim() })}>Next</Button>
    </Group>
  );
}

function RemoveNode({ node }: { node: Node }) {
  const [opened, setOpened] = useState(false);
  const [force, setForce] = useState(false);
  return (
    <>
      <Button color="red" variant="light" onClick={() => setOpened(true)}>Remove</Button>
      {opened && (
        <OrderDialog title={`Remove node ${node.id} for good`} action="Remove" order={{ kind: "remove", node: node.id, force }}
          onClose={() => { setOpened(false); setForce(false); }}>
          {!node.reachable && (
            <Checkbox checked={force} onChange={(e) => setForce(e.currentTarget.checked)} label="It is dead and will not come back: go on although something may be lost" />
          )}
        </OrderDialog>
      )}
    </>
  );
}
