import { Alert } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { api, sentence } from "../api/client";

/** Says on every page when settings cannot be changed on this node. */
export function ReadOnlyBanner() {
  const writable = useQuery({ queryKey: ["writable"], queryFn: () => api("get", "/cluster/writable"), refetchInterval: 5_000 });
  if (!writable.data || writable.data.settings_writable) return null;
  return (
    <Alert color="orange" variant="filled" autoContrast mb="md" role="alert" title="Settings are read-only on this node" className="wrap">
      {sentence(writable.data.reason)} Mail, sign-on and address book go on.
    </Alert>
  );
}
