export { patient } from "./patient/patient.ts";
