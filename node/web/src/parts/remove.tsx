import { Button, Text } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";

import { Confirm } from "./feedback";

/** A button that removes something after a confirmation. */
export function RemoveButton(props: {
  what: string;
  consequence: ReactNode;
  remove: () => Promise<unknown>;
  onRemoved: () => void;
  label?: string;
}) {
  const [asking, setAsking] = useState(false);
  const queries = useQueryClient();
  const removal = useMutation({
    mutationFn: props.remove,
    onSuccess: async () => {
      setAsking(false);
      props.onRemoved();
      await queries.invalidateQueries();
    },
  });
  return (
    <>
      <Button color="red" variant="light" onClick={() => { removal.reset(); setAsking(true); }}>{props.label ?? "Remove"}</Button>
      <Confirm opened={asking} title={`${props.label ?? "Remove"} ${props.what}?`} action={props.label ?? "Remove"} busy={removal.isPending}
        error={removal.error} onConfirm={() => removal.mutate()} onClose={() => setAsking(false)}>
        <Text component="div">{props.consequence}</Text>
      </Confirm>
    </>
  );
}
