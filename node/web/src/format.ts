/** Bytes as people read them. */
export function bytes(count: number | null | undefined): string {
  if (count === null || count === undefined) return "—";
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** A moment in the language and zone of the browser. */
export function when(milliseconds: number): string {
  return new Date(milliseconds).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

/** A span of time in its two largest units. */
export function span(milliseconds: number): string {
  const minutes = Math.floor(milliseconds / 60_000);
  const [days, hours] = [Math.floor(minutes / 1440), Math.floor((minutes % 1440) / 60)];
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes % 60} min`;
  return `${minutes} min`;
}

/** Lines of a text field as a list. */
export function lines(text: string): string[] {
  return text.split(/[\n,;]/).map((line) => line.trim()).filter((line) => line !== "");
}
