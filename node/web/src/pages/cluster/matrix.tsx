import { Paper, Table, Text, Title } from "@mantine/core";

import { sentence } from "../../api/client";
import { Empty } from "../../parts/feedback";
import { type Cluster, nodeName } from "./cluster";

/** A round trip as people read it. */
export function roundTrip(microseconds: number | null | undefined): string {
  if (microseconds === null || microseconds === undefined) return "reached";
  const milliseconds = microseconds / 1000;
  return milliseconds < 10 ? `${milliseconds.toFixed(1)} ms` : `${Math.round(milliseconds)} ms`;
}

/** Who reaches whom: rows ask, columns answer. */
export function MatrixTable({ cluster }: { cluster: Cluster }) {
  const members = cluster.nodes.filter((node) => node.state !== "removed");
  if (members.length < 2) return <Empty title="This node is alone">With a second node this shows who reaches whom, and how fast.</Empty>;
  const cell = (from: number, to: number) => {
    if (from === to) return <Text c="dimmed" size="sm">—</Text>;
    const link = cluster.matrix.find((one) => one.from === from && one.to === to);
    if (!link) return <Text c="dimmed" size="sm">not known</Text>;
    if (!link.reachable) return <Text c="red" fw={600} size="sm" title={link.problem}>cut</Text>;
    return <Text size="sm" className="number">{roundTrip(link.round_trip_us)}</Text>;
  };
  return (
    <Paper withBorder p="md">
      <Text size="sm" c="dimmed" mb="sm">How long a question takes there and back. Rows ask, columns answer.</Text>
      <Table.ScrollContainer minWidth={360}>
        <Table aria-label="Who reaches whom">
          <Table.Thead>
            <Table.Tr><Table.Th />{members.map((node) => <Table.Th key={node.id} scope="col">{nodeName(cluster, node.id)}</Table.Th>)}</Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {members.map((from) => (
              <Table.Tr key={from.id}>
                <Table.Th scope="row">{nodeName(cluster, from.id)}</Table.Th>
                {members.map((to) => <Table.Td key={to.id}>{cell(from.id, to.id)}</Table.Td>)}
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
    </Paper>
  );
}

/** What would be lost with each node. */
export function LossTable({ cluster }: { cluster: Cluster }) {
  const members = cluster.nodes.filter((node) => node.state !== "removed" && node.what_if_lost);
  if (members.length === 0) return null;
  return (
    <Paper withBorder p="md">
      <Title order={2} size="h4" mb="xs">If a node were lost at this moment</Title>
      <Table aria-label="If a node were lost">
        <Table.Tbody>
          {members.map((node) => (
            <Table.Tr key={node.id}><Table.Th scope="row" w="30%">{nodeName(cluster, node.id)}</Table.Th><Table.Td className="wrap">{sentence(node.what_if_lost)}</Table.Td></Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Paper>
  );
}
