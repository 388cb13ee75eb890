import { expect, test } from "vitest";
import { z } from "zod";
import { append } from "./channel.ts";
import { Command, END, START } from "./command.ts";
import { StateGraph } from "./graph.ts";

const channels = { log: append(z.string()) };
const inner = new StateGraph(channels)
  .addNode("search", () => ({}))
  .addEdge(START, "search")
  .addEdge("search", END)
  .compile();

const graph = new StateGraph(channels)
  .addNode("plan", () => ({}))
  .addNode("work-item", () => ({}), { concurrency: 8 })
  .addSubgraph("research", inner, { map: () => ({}), merge: () => ({}) })
  .addNode("collect", () => ({}), { defer: true })
  .addNode("approve", () => new Command({ goto: "plan" }), { ends: ["plan"] })
  .addEdge(START, "plan")
  .addConditionalEdges("plan", () => "many", { many: "work-item", "look it up": "research" })
  .addEdge("work-item", "collect")
  .addEdge(["research", "work-item"], "approve")
  .addEdge("collect", END)
  .addEdge("approve", END)
  .compile();

test("a graph is drawn for a terminal as a tree, each node once", () => {
  expect(graph.draw()).toBe(
    `
START
└─ plan
   ├─ ? many → work-item (at most 8 at a time)
   │  ├─ collect (deferred)
   │  │  └─ END
   │  └─ & research → approve
   │     ├─ END
   │     └─ ! plan ↑
   └─ ? look it up → research
      ┊ START
      ┊ └─ search
      ┊    └─ END
      └─ & work-item → approve ↑`.trim(),
  );
});

test("a graph is drawn for Mermaid, with its subgraphs", () => {
  expect(graph.mermaid()).toBe(
    `
flowchart TD
  __start__(["START"])
  __end__(["END"])
  n_plan["plan"]
  n_work_item["work-item"]
  subgraph n_research ["research"]
    n_research___start__(["START"])
    n_research___end__(["END"])
    n_research_n_search["search"]
    n_research___start__ --> n_research_n_search
    n_research_n_search --> n_research___end__
  end
  n_collect[/"collect"/]
  n_approve["approve"]
  __start__ --> n_plan
  n_plan -.->|"many"| n_work_item
  n_plan -.->|"look it up"| n_research
  n_work_item --> n_collect
  n_work_item -->|and research| n_approve
  n_research -->|and work-item| n_approve
  n_collect --> __end__
  n_approve --> __end__
  n_approve -.-> n_plan`.trim(),
  );
});
