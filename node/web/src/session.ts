import { useQuery, useQueryClient } from "@tanstack/react-query";

import { api, Problem, type Schemas } from "./api/client";

export type WhoAmI = Schemas["WhoAmI"];

/** Who is signed on; `null` if nobody is. */
export function useSession() {
  return useQuery({
    queryKey: ["session"],
    queryFn: async (): Promise<WhoAmI | null> => {
      try {
        return await api("get", "/session");
      } catch (error) {
        if (error instanceof Problem && error.status === 401) return null;
        throw error;
      }
    },
    staleTime: 60_000,
  });
}

/** What the pages offer. The server decides; this only hides what it would refuse. */
export function useRights() {
  const rights = useSession().data?.rights ?? "none";
  return {
    seeAccounts: rights !== "none",
    changeAccounts: rights === "own_domain" || rights === "full",
    read: rights === "read_only" || rights === "full",
    full: rights === "full",
  };
}

/** Signs on or off: everything that was loaded before belongs to somebody else. */
export function useSessionChange() {
  const queries = useQueryClient();
  return (session: WhoAmI | null) => {
    queries.clear();
    queries.setQueryData(["session"], session);
  };
}

export const RIGHTS: { value: WhoAmI["rights"]; label: string }[] = [
  { value: "none", label: "None" },
  { value: "own_domain", label: "Accounts of the own domain" },
  { value: "read_only", label: "Everything, reading only" },
  { value: "full", label: "Everything" },
];

export function rightsLabel(rights: WhoAmI["rights"]): string {
  return RIGHTS.find((one) => one.value === rights)?.label ?? rights;
}
