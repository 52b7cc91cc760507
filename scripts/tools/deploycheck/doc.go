// Package deploycheck holds only tests: docker-compose.yml and the charts must parse, lint and render, every manifest must decode
// strictly into its Kubernetes type, and the configuration in it must be accepted by the service that will read it. It is a module
// outside the workspace because Helm and Kubernetes bring hundreds of requirements that no service needs.
package deploycheck
