import { Alert, Badge, Button, Code, CopyButton, Group, Modal, Paper, Select, Stack, Text, TextInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { QRCodeSVG } from "qrcode.react";
import { type FormEvent, useEffect, useState } from "react";

import { api, type Schemas } from "../../api/client";
import { when } from "../../format";
import { fieldError } from "../../parts/accounts";
import { Empty, Loaded, ProblemAlert } from "../../parts/feedback";
import { Listing } from "../../parts/listing";
import { RemoveButton } from "../../parts/remove";
import { useRights } from "../../session";
import { LIVE } from "./cluster";

type Invite = Schemas["NewInvite"];
type Known = Schemas["InviteView"];

const LIFETIMES = [
  { value: "15", label: "15 minutes" },
  { value: "60", label: "1 hour" },
  { value: "1440", label: "1 day" },
  { value: "10080", label: "7 days" },
];

/** A span of time as a clock that runs down. */
export function remaining(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const two = (number: number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

export function InviteDialog({ close }: { close: () => void }) {
  const queries = useQueryClient();
  const [host, setHost] = useState("");
  const [minutes, setMinutes] = useState("60");
  const make = useMutation({
    mutationFn: () => api("post", "/cluster/invites", { body: { host: host.trim(), minutes: Number(minutes) } }),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["cluster"] }),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    make.mutate();
  };
  return (
    <Modal opened onClose={close} title="Invite a node" centered size="lg" closeButtonProps={{ "aria-label": "Close" }}>
      {make.data ? (
        <Stack>
          <InviteShown invite={make.data} lifetime={Number(minutes) * 60_000} />
          <Group justify="flex-end"><Button onClick={close}>Close</Button></Group>
        </Stack>
      ) : (
        <form onSubmit={submit}>
          <Stack>
            <Text>Makes a code with which one new node can join this cluster. Give it only to whom you would give the disk of a server.</Text>
            <TextInput label="Host name of the new node" description="With a name, only a node of this name may use the code." placeholder="any" value={host}
              onChange={(e) => setHost(e.currentTarget.value)} error={fieldError(make.error, "host")} autoCapitalize="none" spellCheck={false} />
            <Select label="Good for" data={LIFETIMES} value={minutes} allowDeselect={false} onChange={(value) => setMinutes(value ?? "60")} />
            <ProblemAlert error={make.error} />
            <Group justify="flex-end">
              <Button variant="default" onClick={close}>Cancel</Button>
              <Button type="submit" loading={make.isPending}>Make the code</Button>
            </Group>
          </Stack>
        </form>
      )}
    </Modal>
  );
}

/** The code, once: as text, as a picture to scan, and how long it is still good. `lifetime`: milliseconds from now. */
export function InviteShown({ invite, lifetime }: { invite: Invite; lifetime?: number }) {
  // The clock of the browser may be wrong: counted from now.
  const [end] = useState(() => performance.now() + (lifetime ?? invite.expires - Date.now()));
  const [left, setLeft] = useState(end - performance.now());
  useEffect(() => {
    const timer = setInterval(() => setLeft(end - performance.now()), 1000);
    return () => clearInterval(timer);
  }, [end]);
  const command = `posthouse join ${invite.code}`;
  return (
    <Stack>
      <Alert color="yellow" variant="light" title="Shown only now">Whoever has this code can join one node.</Alert>
      <Group align="flex-start" wrap="wrap">
        <Paper p="xs" bg="white"><QRCodeSVG value={invite.code} size={208} level="M" title="The code as a picture" /></Paper>
        <Stack gap="xs" flex={1} miw={240}>
          <Text fw={600} size="sm">Code</Text>
          <Code block className="pre" aria-label="Code">{invite.code}</Code>
          <Group>
            <CopyButton value={invite.code}>
              {({ copied, copy }) => <Button size="xs" variant="default" onClick={copy}>{copied ? "Copied" : "Copy the code"}</Button>}
            </CopyButton>
            {left > 0
              ? <Text size="sm" role="timer" className="number">Good for {remaining(left)}</Text>
              : <Text size="sm" c="red" role="timer">Its time is over</Text>}
          </Group>
        </Stack>
      </Group>
      <Text size="sm">On the new node: choose “A further node of a cluster” in its set-up page, or type in its terminal</Text>
      <Code block className="pre">{command}</Code>
      <Text size="sm" c="dimmed">It has to reach one of: {invite.addresses.join(", ")}</Text>
    </Stack>
  );
}

const STATES: Record<Known["state"], [string, string]> = {
  open: ["can be used", "blue"],
  used: ["used", "green"],
  expired: ["expired", "gray"],
  revoked: ["revoked", "gray"],
};

export function Invites() {
  const rights = useRights();
  const invites = useQuery({ queryKey: ["cluster", "invites"], queryFn: () => api("get", "/cluster/invites"), refetchInterval: LIVE });
  return (
    <Loaded query={invites}>
      {(found) => found.length === 0 ? (
        <Empty title="There are no invites">“Invite a node” makes one.</Empty>
      ) : (
        <Listing label="Invites" rows={found} rowKey={(one) => one.id}
          columns={[
            { title: "For", cell: (one) => one.host || "any node" },
            { title: "State", cell: (one) => (
              <Badge color={STATES[one.state][1]} variant="light">
                {one.state === "used" && one.node ? `node ${one.node} joined` : STATES[one.state][0]}
              </Badge>
            ) },
            { title: "Made", cell: (one) => when(one.created) },
            { title: "Good until", cell: (one) => when(one.expires) },
            { title: "", cell: (one) => rights.full && one.state === "open" ? (
              <RemoveButton label="Revoke" what={one.host ? `the invite for ${one.host}` : "the invite"} consequence="Its code is worthless then." onRemoved={() => undefined}
                remove={() => api("delete", "/cluster/invites/{id}", { at: { id: one.id } })} />
            ) : null },
          ]} />
      )}
    </Loaded>
  );
}
