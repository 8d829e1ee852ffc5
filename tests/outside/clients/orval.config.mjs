// orval with its own defaults, on fetch; the address is known only when the tests run.
export default {
  tradepost: {
    input: "openapi.json",
    output: { mode: "single", client: "fetch", target: "generated/orval/client.ts", baseUrl: process.env.BASE },
  },
};
