module wire-deploy/artifacts/kubernetes-test

go 1.26.0
