import { Button, Group, Modal, Stack } from "@mantine/core";
import type { FormEvent, ReactNode } from "react";

import { useIsPhone } from "./listing";
import { ProblemAlert } from "./feedback";

/** A dialog with a form: saves on Enter, fills the window of a phone. */
export function Editor(props: {
  title: string;
  opened: boolean;
  onClose: () => void;
  onSave?: () => void;
  save?: string;
  busy?: boolean;
  error?: unknown;
  /** Further actions at the left of the buttons, such as removal. */
  extra?: ReactNode;
  children: ReactNode;
}) {
  const phone = useIsPhone();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    props.onSave?.();
  };
  return (
    <Modal
      opened={props.opened}
      onClose={props.onClose}
      title={props.title}
      size="lg"
      styles={{ title: { fontWeight: 600, fontSize: "var(--mantine-font-size-lg)" } }}
      fullScreen={phone}
      closeButtonProps={{ "aria-label": "Close" }}
      closeOnClickOutside={!props.onSave}
    >
      <form onSubmit={submit} noValidate>
        <Stack>
          {props.children}
          <ProblemAlert error={props.error} />
          <Group justify="space-between">
            <Group>{props.extra}</Group>
            <Group>
              <Button variant="default" onClick={props.onClose}>{props.onSave ? "Cancel" : "Close"}</Button>
              {props.onSave && <Button type="submit" loading={props.busy}>{props.save ?? "Save"}</Button>}
            </Group>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
