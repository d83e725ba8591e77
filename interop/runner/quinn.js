// HTTP/0.9 over QUIC (hq-interop) on Quinn, which Deno's QUIC is made of: a
// server of the files in WWW, or a client that fetches REQUESTS into DOWNLOADS.
const env = (name) => Deno.env.get(name) ?? "";
const alpnProtocols = ["hq-interop"];

async function readAll(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

async function send(stream, bytes) {
  const writer = stream.getWriter();
  if (bytes.length > 0) await writer.write(bytes);
  await writer.close();
}

async function answer(stream) {
  const request = new TextDecoder().decode(await readAll(stream.readable));
  const name = /^GET \/([\w.-]+)\r?\n?$/.exec(request)?.[1];
  if (name === undefined) throw new Error(`bad request ${JSON.stringify(request)}`);
  await send(stream.writable, await Deno.readFile(`${env("WWW")}/${name}`));
}

async function serve() {
  const [, hostname, port] = /^\[?(.*?)\]?:(\d+)$/.exec(env("LISTEN"));
  const endpoint = new Deno.QuicEndpoint({ hostname, port: Number(port) });
  const listener = endpoint.listen({
    cert: await Deno.readTextFile(`${env("CERTS")}/cert.pem`),
    key: await Deno.readTextFile(`${env("CERTS")}/priv.key`),
    alpnProtocols,
    maxConcurrentBidirectionalStreams: 100,
  });
  console.log(`listening on ${env("LISTEN")}`);
  while (true) {
    const incoming = await listener.incoming();
    (async () => {
      const conn = await incoming.accept();
      for await (const stream of conn.incomingBidirectionalStreams) {
        answer(stream).catch((e) => console.error("stream:", e.message));
      }
    })().catch((e) => console.error("connection:", e.message));
  }
}

async function connect(url) {
  return await Deno.connectQuic({
    hostname: url.hostname.replace(/^\[|\]$/g, ""),
    port: Number(url.port || 443), // a URL drops the port that is its scheme's own
    serverName: "localhost",
    caCerts: [await Deno.readTextFile(`${env("CERTS")}/ca.pem`)],
    alpnProtocols,
  });
}

async function fetchFile(conn, url) {
  const stream = await conn.createBidirectionalStream({ waitUntilAvailable: true });
  await send(stream.writable, new TextEncoder().encode(`GET ${url.pathname}\r\n`));
  const bytes = await readAll(stream.readable);
  await Deno.writeFile(env("DOWNLOADS") + url.pathname, bytes);
}

async function fetchAll() {
  const urls = env("REQUESTS").split(" ").map((u) => new URL(u));
  const groups = env("TESTCASE") === "multiconnect" ? urls.map((u) => [u]) : [urls];
  for (const group of groups) {
    const conn = await connect(group[0]);
    await Promise.all(group.map((u) => fetchFile(conn, u)));
    conn.close({ closeCode: 0, reason: "" });
    await conn.closed.catch(() => {});
    conn.endpoint.close({ closeCode: 0, reason: "" });
  }
}

if (env("ROLE") === "server") await serve();
else await fetchAll();
