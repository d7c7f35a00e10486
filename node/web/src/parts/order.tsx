import { Alert, Button, type ButtonProps, Group, List, Loader, Modal, Stack, Text } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";

import { api, type Schemas, sentence } from "../api/client";
import { ProblemAlert } from "./feedback";

export type Order = Schemas["ClusterOrder"];
export type Outcome = Schemas["ClusterOutcome"];

const give = (order: Order, dry_run: boolean) => api("post", "/cluster/orders", { body: { order, dry_run } });

/** What an order would do, step by step. */
function Plan({ plan }: { plan: Outcome }) {
  return (
    <Stack gap="sm">
      {plan.refuses.length > 0 && (
        <Alert color="red" variant="light" role="alert" title="This is not done">
          <List size="sm">{plan.refuses.map((text) => <List.Item key={text} className="wrap">{sentence(text)}</List.Item>)}</List>
        </Alert>
      )}
      {plan.steps.length > 0 && (
        <div>
          <Text fw={600} size="sm">What is done</Text>
          <List type="ordered" size="sm">{plan.steps.map((text) => <List.Item key={text} className="wrap">{sentence(text)}</List.Item>)}</List>
        </div>
      )}
      {plan.warnings.map((text) => <Alert key={text} color="yellow" variant="light" className="wrap">{sentence(text)}</Alert>)}
    </Stack>
  );
}

/** Shows what an order to the cluster would do before it is given. */
export function OrderDialog(props: {
  title: string;
  action: string;
  order: Order;
  /** Choices above the plan; a changed order is planned anew. */
  children?: ReactNode;
  /** What is shown when it is done, instead of closing. */
  after?: (outcome: Outcome) => ReactNode;
  onClose: () => void;
}) {
  const { order, after } = props;
  const queries = useQueryClient();
  const plan = useQuery({
    queryKey: ["plan", order], queryFn: () => give(order, true), gcTime: 0, staleTime: 0, retry: false, refetchOnWindowFocus: false,
  });
  const done = useMutation({
    mutationFn: () => give(order, false),
    onSuccess: async () => {
      if (!after) props.onClose();
      await queries.invalidateQueries({ queryKey: ["cluster"] });
      await queries.invalidateQueries({ queryKey: ["users"] });
    },
  });
  const refused = (plan.data?.refuses.length ?? 0) > 0;
  return (
    <Modal opened onClose={props.onClose} title={props.title} centered size="lg" closeButtonProps={{ "aria-label": "Close" }}>
      {done.data && after ? (
        <Stack>
          {after(done.data)}
          <Group justify="flex-end"><Button onClick={props.onClose}>Close</Button></Group>
        </Stack>
      ) : (
        <Stack>
          {props.children}
          <div aria-live="polite">
            {plan.isFetching && !plan.data && <Group role="status"><Loader size="sm" /><Text>Working out what that means …</Text></Group>}
            {plan.data && <Plan plan={plan.data} />}
          </div>
          <ProblemAlert error={plan.error ?? done.error} />
          <Group justify="flex-end">
            <Button variant="default" onClick={props.onClose} data-autofocus>Cancel</Button>
            <Button color="red" loading={done.isPending} disabled={!plan.data || plan.isFetching || refused} onClick={() => done.mutate()}>{props.action}</Button>
          </Group>
        </Stack>
      )}
    </Modal>
  );
}

/** A button that opens an [OrderDialog]. */
export function OrderButton(props: {
  label: string;
  title: string;
  order: Order;
  after?: (outcome: Outcome) => ReactNode;
  button?: ButtonProps;
}) {
  const [opened, setOpened] = useState(false);
  return (
    <>
      <Button variant="default" {...props.button} onClick={() => setOpened(true)}>{props.label}</Button>
      {opened && <OrderDialog title={props.title} action={props.label} order={props.order} after={props.after} onClose={() => setOpened(false)} />}
    </>
  );
}
