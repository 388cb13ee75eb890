import { testPage } from "../support/page.ts";

testPage("packages/workflow/PATTERNS.md", 10);
