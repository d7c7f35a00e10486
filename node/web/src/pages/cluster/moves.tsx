import { Badge, Button, Group, Progress, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { api, type Schemas } from "../../api/client";
import { bytes, when } from "../../format";
import { Empty, Loaded } from "../../parts/feedback";
import { Listing } from "../../parts/listing";
import { OrderDialog } from "../../parts/order";
import { useRights } from "../../session";
import { LIVE } from "./cluster";

type Move = Schemas["MoveView"];

const STATES: Record<Move["state"], [string, string]> = {
  waiting: ["waits", "gray"],
  copying: ["copies", "blue"],
  switching: ["switches", "blue"],
  done: ["done", "green"],
  cancelling: ["is being stopped", "yellow"],
  cancelled: ["cancelled", "gray"],
  failed: ["failed", "red"],
};

const isOpen = (move: Move) => ["waiting", "copying", "switching"].includes(move.state);

/** Moves of mailboxes between stores, with progress and a way to stop them. */
export function Moves() {
  const moves = useQuery({ queryKey: ["cluster", "moves"], queryFn: () => api("get", "/cluster/moves"), refetchInterval: LIVE });
  const rights = useRights();
  const [cancelling, setCancelling] = useState<Move | null>(null);
  return (
    <Loaded query={moves}>
      {(found) => found.length === 0 ? (
        <Empty title="No mailbox is being moved">A mailbox is moved from the page of its user.</Empty>
      ) : (
        <>
          <Listing label="Moves" rows={found} rowKey={(move) => move.id}
            columns={[
              { title: "Mailbox", cell: (move) => move.name },
              { title: "From", cell: (move) => `Store ${move.from}` },
              { title: "To", cell: (move) => `Store ${move.to}` },
              { title: "State", cell: (move) => <Badge color={STATES[move.state][1]} variant="light">{STATES[move.state][0]}</Badge> },
              { title: "Progress", cell: (move) => <MoveProgress move={move} /> },
              { title: "Asked for", cell: (move) => when(move.created) },
              { title: "", cell: (move) => rights.full && isOpen(move) ? (
                <Button size="xs" variant="default" aria-label={`Cancel the move of ${move.name}`} onClick={() => setCancelling(move)}>Cancel</Button>
              ) : null },
            ]} />
          {cancelling && (
            <OrderDialog title={`Cancel the move of ${cancelling.name}`} action="Stop the move" order={{ kind: "cancel_move", id: cancelling.id }}
              onClose={() => setCancelling(null)} />
          )}
        </>
      )}
    </Loaded>
  );
}

function MoveProgress({ move }: { move: Move }) {
  const share = move.bytes > 0 ? Math.min(100, (move.bytes_done / move.bytes) * 100) : 0;
  return (
    <Stack gap={2} miw={140}>
      {isOpen(move) && <Progress value={share} size="sm" aria-label={`Move of ${move.name}: ${Math.round(share)} %`} />}
      <Group gap="xs">
        <Text size="xs" c="dimmed" className="number">{move.messages_done.toLocaleString()} of {move.messages.toLocaleString()} messages, {bytes(move.bytes_done)}</Text>
      </Group>
      {move.problem && <Text size="xs" c="red" className="wrap">{move.problem}</Text>}
    </Stack>
  );
}
