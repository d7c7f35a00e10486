import { Code, Group, List, Paper, Stack, Text } from "@mantine/core";

import { OrderButton } from "../../parts/order";
import { useRights } from "../../session";
import { type Cluster, nodeName } from "./cluster";

/** The authority that certifies nodes, and its replacement. */
export function AuthorityPanel({ cluster }: { cluster: Cluster }) {
  const rights = useRights();
  const authority = cluster.authority;
  const rotating = authority.next_fingerprint !== "";
  return (
    <Paper withBorder p="md">
      <Stack>
        <Text>Nodes prove who they are by certificates of an authority that only this cluster has. It has nothing to do with the certificate that mail programs see.</Text>
        <div>
          <Text size="sm" c="dimmed">SHA-256 of the authority{authority.days !== null && authority.days !== undefined && `, ${authority.days} days left`}</Text>
          <Code block className="pre">{authority.fingerprint || "—"}</Code>
        </div>
        {rotating && (
          <div>
            <Text size="sm" c="dimmed">It is being replaced by</Text>
            <Code block className="pre">{authority.next_fingerprint}</Code>
            {authority.waiting_for.length > 0 ? (
              <>
                <Text size="sm" mt="xs">Still without a certificate of the new one:</Text>
                <List size="sm">{authority.waiting_for.map((id) => <List.Item key={id}>{nodeName(cluster, id)}</List.Item>)}</List>
              </>
            ) : <Text size="sm" mt="xs">All nodes have a certificate of the new one.</Text>}
          </div>
        )}
        {rights.full && (
          <Group>
            {rotating
              ? <OrderButton label="Stop trusting the old one" title="Finish the replacement" order={{ kind: "rotate_authority", finish: true }} />
              : <OrderButton label="Replace the authority" title="Replace the authority" order={{ kind: "rotate_authority", finish: false }} />}
          </Group>
        )}
      </Stack>
    </Paper>
  );
}
