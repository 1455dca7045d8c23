"""The Imaging Data Commons: manifests, selections, folder templates, addresses. Pure."""
