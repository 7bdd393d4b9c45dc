module wire-deploy/artifacts/pause

go 1.26.0
