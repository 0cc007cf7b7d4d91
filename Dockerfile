# The server alone, as a user without rights: no shell, no package manager, nothing to keep up to date but itself.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /out/sno ./cmd/sno && mkdir -p /out/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/sno /sno
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
# Every setting is a variable: see docs/configuration.md. A key comes by SNO_KEY and SNO_SECRET_FILE.
ENV SNO_LISTEN=:7878 SNO_DATA=/data/messages SNO_TLS_ACME_STORAGE=/data/certificates
VOLUME /data
EXPOSE 7878
# It connects, publishes and receives with the key of SNO_KEY; a server whose keys stand in a file needs these variables for it, too.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["/sno", "probe", "--transport", "websocket", "--timeout", "4s", "--warn", "4s"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/sno"]
CMD ["serve"]
