// hey-api with its own defaults: a client on fetch, types, and a function for each operation.
export default {
  input: "openapi.json",
  output: "generated/hey-api",
  plugins: ["@hey-api/client-fetch", "@hey-api/typescript", "@hey-api/sdk"],
};
