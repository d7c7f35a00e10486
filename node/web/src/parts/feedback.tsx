import { Alert, Button, Center, Group, Loader, Modal, Paper, Stack, Text } from "@mantine/core";
import type { ReactNode } from "react";

import { Problem } from "../api/client";

/** An error in words, with what to do. Announced by screen readers. */
export function ProblemAlert({ error }: { error: unknown }) {
  if (!error) return null;
  const problem = error instanceof Problem ? error : new Problem(0, "unknown", String(error));
  return (
    <Alert color="red" title={problem.message} role="alert" variant="light">
      {problem.remedy}
    </Alert>
  );
}

/** Waits for a query and shows its error, or its content. */
export function Loaded<T>(props: {
  query: { data: T | undefined; error: unknown; isPending: boolean; refetch: () => unknown };
  children: (data: T) => ReactNode;
}) {
  const { query } = props;
  if (query.data !== undefined) {
    return (
      <Stack>
        <ProblemAlert error={query.error} />
        {props.children(query.data)}
      </Stack>
    );
  }
  if (query.error) {
    return (
      <Stack align="flex-start">
        <ProblemAlert error={query.error} />
        <Button variant="default" onClick={() => query.refetch()}>Try again</Button>
      </Stack>
    );
  }
  return (
    <Center py="xl" role="status" aria-label="Loading"><Loader /></Center>
  );
}

/** What a list says when there is nothing in it. */
export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <Paper withBorder p="xl">
      <Stack align="center" gap="xs">
        <Text fw={600}>{title}</Text>
        {children && <Text c="dimmed" ta="center">{children}</Text>}
      </Stack>
    </Paper>
  );
}

/** Asks before something is done that cannot be undone. */
export function Confirm(props: {
  opened: boolean;
  title: string;
  action: string;
  busy?: boolean;
  error?: unknown;
  onConfirm: () => void;
  onClose: () => void;
  children: ReactNode;
}) {
  return (
    <Modal opened={props.opened} onClose={props.onClose} title={props.title} centered closeButtonProps={{ "aria-label": "Close" }}>
      <Stack>
        <div>{props.children}</div>
        <ProblemAlert error={props.error} />
        <Group justify="flex-end">
          <Button variant="default" onClick={props.onClose} data-autofocus>Cancel</Button>
          <Button color="red" loading={props.busy} onClick={props.onConfirm}>{props.action}</Button>
        </Group>
      </Stack>
    </Modal>
  );
}
