// Shows openapi.json. Everything is put in as text, never as markup.
"use strict";

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null));
  return made;
}

// Paragraphs, lists of lines that begin with "- ", and `code`.
function prose(text) {
  return (text || "").split(/\n\n+/).filter(Boolean).map((part) => {
    const lines = part.split("\n");
    if (lines.every((line) => line.startsWith("- "))) {
      return element("ul", {}, ...lines.map((line) => element("li", {}, ...inline(line.slice(2)))));
    }
    return element("p", {}, ...inline(part));
  });
}

function inline(text) {
  return text.split(/(`[^`]+`)/).map((part) =>
    part.length > 2 && part.startsWith("`") ? element("code", {}, part.slice(1, -1)) : part);
}

function referred(api, node) {
  return node.$ref ? node.$ref.slice(2).split("/").reduce((inside, key) => inside[key], api) : node;
}

// What a field says of itself wins over what its type says.
function resolved(api, node) {
  return node ? { ...referred(api, node), ...node, $ref: undefined } : {};
}

function shortName(node) {
  return node && node.$ref ? node.$ref.split("/").pop().split(".").pop() : "";
}

function typeOf(api, node) {
  const found = resolved(api, node);
  if (found.type === "array") return `list of ${typeOf(api, found.items)}`;
  if (found.anyOf) return found.anyOf.map((each) => typeOf(api, each)).join(" or ");
  if ("const" in found) return JSON.stringify(found.const);
  const type = [].concat(found.type || "any").join(" or ");
  return shortName(node) || (found.format ? `${type} (${found.format})` : type);
}

// The fields of an object; those of the objects in it are made when somebody looks.
function fields(api, node) {
  const found = resolved(api, node);
  if (found.type === "array") return fields(api, found.items);
  if (!found.properties) return null;
  const required = found.required || [];
  return element("ul", { class: "fields" }, ...Object.entries(found.properties).map(([name, schema]) => {
    const about = resolved(api, schema);
    return element("li", {},
      element("span", { class: "name" }, name), " ",
      element("span", { class: "quiet" }, typeOf(api, schema), about.readOnly ? ", only in answers" : ""), " ",
      required.includes(name) ? element("span", { class: "required" }, "required") : null,
      ...prose(about.description),
      example(about),
      inner(api, schema));
  }));
}

function example(about) {
  const [first] = about.examples || [];
  return typeof first === "string" ? element("p", { class: "quiet" }, "such as ", element("code", {}, first)) : null;
}

function inner(api, schema) {
  const about = resolved(api, schema);
  const target = referred(api, about.type === "array" ? about.items : schema);
  if (target.enum && target.description) {
    return element("details", {}, element("summary", { class: "quiet" }, "values"), ...prose(target.description));
  }
  if (!target.properties) return null;
  const open = element("details", {}, element("summary", { class: "quiet" }, "fields"));
  open.addEventListener("toggle", () => { if (open.children.length === 1) open.append(fields(api, schema)); });
  return open;
}

function parameters(api, list) {
  return element("ul", { class: "fields" }, ...list.map((each) => {
    const schema = each.schema || Object.values(each.content)[0].schema;
    return element("li", {},
      element("span", { class: "name" }, each.name), " ",
      element("span", { class: "quiet" }, `${typeOf(api, schema)}, in the ${each.in}`, each.content ? ", as JSON" : ""), " ",
      each.required ? element("span", { class: "required" }, "required") : null,
      ...prose(each.description),
      inner(api, schema));
  }));
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function command(api, method, path, operation) {
  const lines = [`curl -sS ${method === "get" ? "" : `-X ${method.toUpperCase()} `}${quoted(location.origin + path)}`];
  if ((operation.security || api.security).length) lines.push("  -H \"Authorization: Bearer $TRIMEM_API_KEY\"");
  const content = operation.requestBody && Object.entries(operation.requestBody.content)[0];
  if (content) {
    const example = (resolved(api, content[1].schema).examples || [{}])[0];
    lines.push(`  -H 'Content-Type: ${content[0]}'`, `  -d ${quoted(JSON.stringify(example))}`);
  }
  return element("pre", {}, lines.join(" \\\n"));
}

function body(api, title, content) {
  if (!content) return [];
  const [type, { schema }] = Object.entries(content)[0];
  return [element("h3", {}, title, " ", element("span", { class: "quiet" }, `${type} ${shortName(schema)}`)),
    fields(api, schema) || element("p", { class: "quiet" }, typeOf(api, schema))];
}

function operationNode(api, method, path, operation) {
  const answer = operation.responses["200"];
  const scopes = (operation.security || []).flatMap((each) => each.bearer || []).join(", ");
  return element("details", { class: "operation", id: operation.operationId },
    element("summary", {},
      element("span", { class: "method" }, method.toUpperCase()),
      element("span", { class: "path" }, path), ...inline(operation.summary || "")),
    element("div", {},
      ...prose(operation.description),
      element("p", { class: "quiet" }, scopes ? `Needs a key with the scope ${scopes}.` : "Needs no key."),
      ...(operation.parameters ? [element("h3", {}, "Parameters"), parameters(api, operation.parameters)] : []),
      ...body(api, "Body", operation.requestBody && operation.requestBody.content),
      ...body(api, "Answer", answer.content),
      element("h3", {}, "In a shell"), command(api, method, path, operation)));
}

function section(api, tag) {
  const operations = Object.entries(api.paths).flatMap(([path, item]) =>
    Object.entries(item).filter(([, operation]) => operation.tags.includes(tag.name))
      .map(([method, operation]) => operationNode(api, method, path, operation)));
  return [element("h2", { id: tag.name }, tag.name), ...prose(tag.description), ...operations];
}

async function show() {
  const page = document.getElementById("page");
  try {
    const answer = await fetch("openapi.json");
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    const api = await answer.json();
    page.replaceChildren(
      element("h1", {}, api.info.title, " ", element("span", { class: "quiet" }, api.info.version)),
      ...prose(api.info.description),
      element("p", {}, element("a", { href: "openapi.json" }, "openapi.json")),
      ...api.tags.flatMap((tag) => section(api, tag)));
    const wanted = document.getElementById(location.hash.slice(1));
    if (wanted) { wanted.open = true; wanted.scrollIntoView(); }
  } catch (error) {
    page.replaceChildren(element("p", {}, `openapi.json cannot be read: ${error.message}`));
  }
}

show();
