import { Alert, Button, Code, FileButton, Group, List, Paper, Stack, Text, Title } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import { api, type Schemas, request } from "../api/client";
import { Empty, Loaded, ProblemAlert } from "../parts/feedback";
import { Page } from "../parts/page";
import { useRights, useSession } from "../session";

export function KerberosPage() {
  const keytab = useQuery({ queryKey: ["keytab"], queryFn: () => api("get", "/keytab") });
  const queries = useQueryClient();
  const rights = useRights();
  const host = useSession().data?.host ?? "mail.example.com";
  const upload = useMutation({
    mutationFn: (file: File) => request<Schemas["KeytabView"]>("put", "/keytab", file),
    onSuccess: () => queries.invalidateQueries(),
  });
  return (
    <Page title="Kerberos" about="With a keytab, users of a directory sign on with the ticket of their computer and are not asked for a password."
      actions={rights.full && (
        <FileButton onChange={(file) => file && upload.mutate(file)} inputProps={{ "aria-label": "Keytab file" }}>
          {(props) => <Button {...props} loading={upload.isPending}>Upload a keytab</Button>}
        </FileButton>
      )}>
      <ProblemAlert error={upload.error} />
      {upload.isSuccess && <Alert color="green" variant="light" role="status" title="The keytab is in use" />}
      <Loaded query={keytab}>
        {(found) =>
          found.entries.length === 0 ? (
            <Empty title="There is no keytab">Tickets cannot be accepted until one is uploaded. Passwords work.</Empty>
          ) : (
            <Paper withBorder p="md">
              <Title order={2} size="h4" mb="sm">Keys in use</Title>
              <List>{found.entries.map((entry) => <List.Item key={entry} className="wrap">{entry}</List.Item>)}</List>
            </Paper>
          )
        }
      </Loaded>
      <Paper withBorder p="md">
        <Stack gap="xs">
          <Title order={2} size="h4">How to make one</Title>
          <Text>
            The keytab needs the service names <Code>HTTP</Code>, <Code>imap</Code>, <Code>smtp</Code>, <Code>SMTPSVC</Code> and <Code>ldap</Code> of
            this node’s host name, all of one account that is used for nothing else. On a domain controller, for each name in turn (after the
            first one with <Code>-setupn -in</Code> and the last file):
          </Text>
          <Group><Code block className="pre">{`ktpass -princ HTTP/${host}@REALM -mapuser DOMAIN\\posthouse-mail -crypto AES256-SHA1 -ptype KRB5_NT_PRINCIPAL -pass * -out 1.keytab`}</Code></Group>
          <Text size="sm" c="dimmed">The keys never leave the cluster: uploaded files are encrypted, and no page or command shows them again.</Text>
        </Stack>
      </Paper>
    </Page>
  );
}
