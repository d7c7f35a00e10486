import { Group, Stack, Text, Title } from "@mantine/core";
import { useDocumentTitle } from "@mantine/hooks";
import type { ReactNode } from "react";

/** A page: its title in the window and on top, what it is for, and its main actions. */
export function Page(props: { title: string; about?: ReactNode; actions?: ReactNode; children: ReactNode }) {
  useDocumentTitle(`${props.title} – Posthouse`);
  return (
    <Stack gap="lg">
      <Group justify="space-between" align="flex-start">
        <div>
          <Title order={1} size="h2">{props.title}</Title>
          {props.about && <Text c="dimmed" maw={640}>{props.about}</Text>}
        </div>
        {props.actions && <Group>{props.actions}</Group>}
      </Group>
      {props.children}
    </Stack>
  );
}
