import { Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";

import { Editor } from "./editor";
import { ProblemAlert } from "./feedback";

/** Loads one thing for its dialog; until it is there, `waiting` is what to show. */
export function useFound<T>(
  kind: string,
  id: string | undefined,
  load: (at: { id: string }) => Promise<T>,
  title: string,
  close: () => void,
): { data?: T; waiting: ReactNode } {
  const query = useQuery({ queryKey: [kind, id], queryFn: () => load({ id: id ?? "" }), enabled: id !== undefined, gcTime: 0 });
  const waiting = (
    <Editor title={title} opened onClose={close}>
      {query.error ? <ProblemAlert error={query.error} /> : <Text role="status">Loading …</Text>}
    </Editor>
  );
  return { data: query.data, waiting };
}
