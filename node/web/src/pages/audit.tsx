import { Button, Center } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";

import { api } from "../api/client";
import { when } from "../format";
import { Empty, Loaded } from "../parts/feedback";
import { Listing } from "../parts/listing";
import { Page } from "../parts/page";

const SIZE = 100;

export function AuditPage() {
  const audit = useInfiniteQuery({
    queryKey: ["audit"],
    queryFn: ({ pageParam }) => api("get", "/audit", { query: { before: pageParam, limit: SIZE } }),
    initialPageParam: undefined as number | undefined,
    getNextPageParam: (last) => (last.length < SIZE ? undefined : last[last.length - 1]?.sequence),
  });
  return (
    <Page title="Audit log" about="Who changed what, newest first. Passwords and keys are never written here.">
      <Loaded query={audit}>
        {(found) => {
          const lines = found.pages.flat();
          return lines.length === 0 ? (
            <Empty title="Nothing has been changed yet" />
          ) : (
            <>
              <Listing label="Audit log" rows={lines} rowKey={(line) => line.sequence}
                columns={[
                  { title: "What", cell: (line) => line.text },
                  { title: "Who", cell: (line) => line.who },
                  { title: "When", cell: (line) => when(line.at) },
                ]} />
              {audit.hasNextPage && (
                <Center><Button variant="default" loading={audit.isFetchingNextPage} onClick={() => audit.fetchNextPage()}>Show older ones</Button></Center>
              )}
            </>
          );
        }}
      </Loaded>
    </Page>
  );
}
