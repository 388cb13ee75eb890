import { connect, type Mesh } from "@plexus/mesh";
import type { Place } from "../contenders/contender.ts";
import { serve } from "../serve.ts";
import { History } from "../workspaces/history.ts";

let mesh: Mesh;
let history: History;

const shelf = {
  /** Hosts workspaces; before, `stop` makes sure that the journal exists and nobody owns anything. */
  async host({ servers, namespace }: Place) {
    mesh = await connect({ servers, mesh: namespace, name: "shelf", http: false });
    await mesh.hostWorkspaces();
  },

  async stop() {
    await mesh.close();
  },

  async begin(place: Place, name: string, commits: number) {
    history = await History.begin(place, name, commits);
  },

  grow: (count: number) => history.grow(count),

  async end() {
    await history.end();
  },
};

export type Shelf = typeof shelf;
serve(shelf);
