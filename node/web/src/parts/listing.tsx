import { Card, Group, Pagination, Paper, Stack, Table, Text, UnstyledButton } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import type { ReactNode } from "react";

export interface Column<T> {
  title: string;
  cell: (row: T) => ReactNode;
}

/** Whether the window is as narrow as a phone. */
export function useIsPhone(): boolean {
  return useMediaQuery("(max-width: 47.99em)", false, { getInitialValueInEffect: false }) ?? false;
}

/** Rows as a table; as cards where the window is narrow. The first column is the name, and opens the row. */
export function Listing<T>(props: {
  label: string;
  columns: Column<T>[];
  rows: T[];
  rowKey: (row: T) => string | number;
  onOpen?: (row: T) => void;
}) {
  const phone = useIsPhone();
  const [first, ...others] = props.columns;
  if (!first) return null;
  const name = (row: T) =>
    props.onOpen ? (
      <UnstyledButton onClick={() => props.onOpen?.(row)} className="wrap">
        <Text component="span" fw={600} c="var(--mantine-color-anchor)">{first.cell(row)}</Text>
      </UnstyledButton>
    ) : (
      first.cell(row)
    );
  if (phone) {
    return (
      <Stack gap="sm" role="list" aria-label={props.label}>
        {props.rows.map((row) => (
          <Card key={props.rowKey(row)} withBorder padding="sm" role="listitem">
            {name(row)}
            {others.map((column) => (
              <Group key={column.title} gap="xs" wrap="nowrap" align="baseline">
                <Text size="sm" c="dimmed" miw={92}>{column.title}</Text>
                <Text size="sm" component="div" className="wrap">{column.cell(row)}</Text>
              </Group>
            ))}
          </Card>
        ))}
      </Stack>
    );
  }
  return (
    <Paper withBorder>
      <Table.ScrollContainer minWidth={560}>
        <Table verticalSpacing="sm" horizontalSpacing="md" highlightOnHover={Boolean(props.onOpen)} aria-label={props.label}>
          <Table.Thead>
            <Table.Tr>
              {props.columns.map((column) => <Table.Th key={column.title}>{column.title}</Table.Th>)}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {props.rows.map((row) => (
              <Table.Tr key={props.rowKey(row)}>
                <Table.Td className="wrap">{name(row)}</Table.Td>
                {others.map((column) => <Table.Td key={column.title} className="wrap">{column.cell(row)}</Table.Td>)}
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
    </Paper>
  );
}

/** Leafs through a long list. */
export function Pages(props: { total: number; size: number; page: number; onPage: (page: number) => void }) {
  const pages = Math.ceil(props.total / props.size);
  return (
    <Group justify="space-between">
      <Text size="sm" c="dimmed" role="status">{props.total === 1 ? "1 entry" : `${props.total} entries`}</Text>
      {pages > 1 && (
        <Pagination
          total={pages}
          value={props.page}
          onChange={props.onPage}
          getControlProps={(control) => ({ "aria-label": `${control} page` })}
          getItemProps={(page) => ({ "aria-label": `page ${page}` })}
        />
      )}
    </Group>
  );
}
