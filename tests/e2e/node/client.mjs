// What a program in JavaScript does that has the protos and nothing else of ours. Prints what it got as JSON.
//
// node client.mjs ADDRESS TOPIC PROTO_DIRECTORY...
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const [address, topic, ...includeDirs] = process.argv.slice(2);
const files = ["trimem/embedding/v1/embedding.proto", "trimem/store/v1/event_service.proto"];
const definition = protoLoader.loadSync(files, { includeDirs, enums: String, longs: String, defaults: true });
const { embedding, store } = grpc.loadPackageDefinition(definition).trimem;
const credentials = grpc.credentials.createInsecure();
const embedder = new embedding.v1.EmbeddingService(address, credentials);
const events = new store.v1.EventService(address, credentials);

const options = () => ({ deadline: Date.now() + 60_000 });
const struct = (fields) => ({ fields });
const string = (stringValue) => ({ stringValue });

/** A call with one answer, as a promise of it, or of how it failed. */
function unary(client, method, request, metadata = new grpc.Metadata()) {
  return new Promise((resolve) => {
    client[method](request, metadata, options(), (error, answer) => resolve(error ? failure(error) : answer));
  });
}

function failure(error) {
  return { code: error.code, details: error.details, trailers: error.metadata.getMap() };
}

/** Events sent as a stream; the one answer. */
function upload(requests) {
  return new Promise((resolve) => {
    const call = events.ImportEvents(new grpc.Metadata(), options(), (error, answer) =>
      resolve(error ? failure(error) : answer),
    );
    requests.forEach((request) => call.write(request));
    call.end();
  });
}

/** Inputs sent one by one, each when the one before it is answered. */
function converse(inputs) {
  return new Promise((resolve, reject) => {
    const call = embedder.EmbedStream(new grpc.Metadata(), options());
    const answers = [];
    const next = () => (answers.length < inputs.length ? call.write({ input: inputs[answers.length] }) : call.end());
    call.on("data", (answer) => {
      answers.push(answer.error ? answer.error.message : answer.embedding.text.values.length);
      next();
    });
    call.on("error", reject);
    call.on("end", () => resolve(answers));
    next();
  });
}

const event = (text) => ({ event: { content: struct({ text: string(text) }), metadata: struct({ topic: string(topic) }) } });
const requestId = new grpc.Metadata();
requestId.set("x-request-id", "from-node");

const created = await unary(events, "CreateEvent", event("The cat sleeps in the sun."));
const report = {
  created: created.event,
  found: await unary(events, "SearchEvents", {
    query: "where is the pet?",
    metadataFilter: struct({ topic: string(topic) }),
  }),
  embedded: await unary(embedder, "Embed", { inputs: ["a cup of tea"], domain: "DOMAIN_HYBRID" }),
  conversation: await converse(["one", "", "three"]),
  imported: await upload([{ requests: [event("first")] }, { requests: [event("second"), event("third")] }]),
  missing: await unary(events, "GetEvent", { id: "00000000-0000-0000-0000-000000000007" }, requestId),
  hidden: await new Promise((resolve) =>
    embedder.makeUnaryRequest(
      "/trimem.store.v1.StoreAdminService/GetStatus",
      (bytes) => bytes,
      (bytes) => bytes,
      Buffer.alloc(0),
      new grpc.Metadata(),
      options(),
      (error) => resolve(error ? error.code : grpc.status.OK),
    ),
  ),
};
console.log(JSON.stringify(report));
embedder.close();
events.close();
