# syntax=docker/dockerfile:1
# The one image: operator, homeserver and render are subcommands of /foyer.
# Built for the platform asked for by cross-compiling on the builder's own:
#   docker buildx build --platform linux/amd64,linux/arm64 -t foyer .
FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS TARGETARCH VERSION=dev
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X github.com/foyer-matrix/foyer/internal/command.version=$VERSION" -o /foyer .

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /foyer /foyer
USER 65532:65532
ENTRYPOINT ["/foyer"]
