# The image of the Python workers beside each task manager.
# Build from the root of the project: docker build -f runners/flink/workers.Dockerfile -t pipelinekit-workers .
FROM python:3.11-slim
COPY . /src
RUN pip install --no-cache-dir "/src[engine,kafka,clickhouse,beam]" && rm -rf /src
USER nobody
