"""boto3 as it comes: S3, DynamoDB and STS at the endpoint in argv, each step told on a line of its own."""
import io
import sys

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

endpoint, work = sys.argv[1:3]
config = Config(region_name="us-east-1", retries={"max_attempts": 1}, s3={"addressing_style": "path"})


def client(name):
    return boto3.client(name, endpoint_url=endpoint, config=config)


# Without it presigned URLs of us-east-1 are of version 2.
v4 = Config(region_name="us-east-1", signature_version="s3v4", s3={"addressing_style": "path"})


s3 = client("s3")
key = "a b/ü(1)+x.txt"
s3.put_object(Bucket="bucket", Key=key, Body=b"hello")
print("put")
print("get", s3.get_object(Bucket="bucket", Key=key)["Body"].read().decode())
print("part", s3.get_object(Bucket="bucket", Key=key, Range="bytes=1-3")["Body"].read().decode())
print("head", s3.head_object(Bucket="bucket", Key=key)["ContentLength"])
print("list", s3.list_objects_v2(Bucket="bucket", Prefix="a b/ü", Delimiter="/")["KeyCount"])

small = TransferConfig(multipart_threshold=1, multipart_chunksize=5 * 1024 * 1024, max_concurrency=2)
data = b"0123456789" * 700_000
s3.upload_fileobj(io.BytesIO(data), "bucket", "big", Config=small)
back = io.BytesIO()
s3.download_fileobj("bucket", "big", back, Config=TransferConfig(multipart_threshold=1, multipart_chunksize=2_000_000))
print("multipart", back.getvalue() == data)

url = boto3.client("s3", endpoint_url=endpoint, config=v4).generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": key}, ExpiresIn=60)
with open(f"{work}/presigned", "w") as file:
    file.write(url)
print("tables", client("dynamodb").list_tables()["TableNames"])
print("who", client("sts").get_caller_identity()["Account"])
