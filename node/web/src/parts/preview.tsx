import { Alert, List, Stack, Text } from "@mantine/core";

import { Listing } from "./listing";

interface Entry {
  kind: string;
  name: string;
  display_name: string;
  mail: string;
  state: string;
}

/** What a directory would bring. */
export function Preview(props: {
  preview: { controller: string; users: number; groups: number; contacts: number; sample: Entry[]; warnings: string[] };
}) {
  const { preview } = props;
  return (
    <Stack>
      <Alert color="green" variant="light" role="status" title={`${preview.controller} answered. Nothing was written.`}>
        {preview.users} users, {preview.groups} groups and {preview.contacts} contacts would be mapped.
      </Alert>
      {preview.warnings.length > 0 && (
        <Alert color="yellow" variant="light" title="What stands out">
          <List>{preview.warnings.map((warning) => <List.Item key={warning}>{warning}</List.Item>)}</List>
        </Alert>
      )}
      {preview.sample.length > 0 && (
        <>
          <Text size="sm" c="dimmed">The first {preview.sample.length} of them:</Text>
          <Listing label="What would be mapped" rows={preview.sample} rowKey={(entry) => `${entry.kind}-${entry.name}`}
            columns={[
              { title: "Name", cell: (entry) => entry.display_name || entry.name },
              { title: "Kind", cell: (entry) => entry.kind },
              { title: "Address", cell: (entry) => entry.mail || "—" },
              { title: "State", cell: (entry) => entry.state || "enabled" },
            ]} />
        </>
      )}
    </Stack>
  );
}
