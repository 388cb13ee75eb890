import { Command } from "commander";
import { llmBreakersCommand } from "./llm-breakers.ts";
import { llmBudgetCommand } from "./llm-budget.ts";
import { llmTestCommand } from "./llm-test.ts";
import { llmUsageCommand } from "./llm-usage.ts";

/** `plexus llm test|usage|breakers|budget` */
export function llmCommand(): Command {
  return new Command("llm")
    .description("try models, and see what a mesh's agents use, spend and are kept from")
    .addCommand(llmTestCommand())
    .addCommand(llmUsageCommand())
    .addCommand(llmBreakersCommand())
    .addCommand(llmBudgetCommand());
}
