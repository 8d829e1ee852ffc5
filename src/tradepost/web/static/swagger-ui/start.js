// Starts Swagger UI. A file of its own, because the page's Content-Security-Policy allows no script inside the page.
"use strict";

// Swagger UI's own filter knows tags alone. This one finds operations: every word must be in the tag, method, path, name
// or description.
function findOperations(groups, phrase) {
  const words = phrase.toLowerCase().split(/\s+/).filter(Boolean);
  const matches = (tag, entry) => {
    const operation = entry.get("operation");
    const text = [tag, entry.get("method"), entry.get("path"), operation.get("operationId"), operation.get("summary"),
      operation.get("description")].join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  };
  return groups
    .map((group, tag) => group.update("operations", (entries) => entries.filter((entry) => matches(tag, entry))))
    .filter((group) => group.get("operations").size > 0);
}

window.addEventListener("load", () => {
  const place = document.getElementById("swagger-ui");
  SwaggerUIBundle({
    domNode: place,
    url: place.dataset.openapi,
    deepLinking: true,
    displayRequestDuration: true,
    filter: true,
    // The log-in outlives a reload: it is kept in this browser until "Logout" is pressed.
    persistAuthorization: true,
    tryItOutEnabled: true,
    presets: [SwaggerUIBundle.presets.apis],
    plugins: [() => ({ fn: { opsFilter: findOperations } })],
    validatorUrl: null,
  });
});
