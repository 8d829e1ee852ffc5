// Starts Swagger UI. A file of its own, because the page's Content-Security-Policy allows no script inside the page.
"use strict";

window.addEventListener("load", () => {
  const place = document.getElementById("swagger-ui");
  SwaggerUIBundle({
    domNode: place,
    url: place.dataset.openapi,
    deepLinking: true,
    displayRequestDuration: true,
    presets: [SwaggerUIBundle.presets.apis],
    validatorUrl: null,
  });
});
