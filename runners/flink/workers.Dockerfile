# The image of the Python workers beside each task manager: what uv.lock pins, and nothing else.
# Build from the root of the project: docker build -f runners/flink/workers.Dockerfile -t pipelinekit-workers .
FROM python:3.11-slim AS build
RUN pip install --no-cache-dir uv==0.13.9
ENV UV_PROJECT_ENVIRONMENT=/opt/pipelinekit UV_PYTHON_DOWNLOADS=never UV_NO_CACHE=1 UV_LINK_MODE=copy
ENV EXTRAS="--extra engine --extra kafka --extra clickhouse --extra beam"
WORKDIR /src
# The libraries first: their layer stays while only our code changes.
COPY pyproject.toml uv.lock /src/
RUN uv sync --frozen --no-default-groups --no-install-project --compile-bytecode $EXTRAS
COPY . /src
RUN uv sync --frozen --no-default-groups --no-editable --compile-bytecode $EXTRAS

FROM python:3.11-slim
COPY --from=build /opt/pipelinekit /opt/pipelinekit
ENV PATH=/opt/pipelinekit/bin:$PATH
# A number, so that Kubernetes sees that it is not root.
USER 9999:9999
