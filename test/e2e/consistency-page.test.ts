import { testPage } from "../support/page.ts";

testPage("packages/mesh/CONSISTENCY.md", 6);
