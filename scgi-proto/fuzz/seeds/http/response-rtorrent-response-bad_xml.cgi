Status: 200 OK
Content-Type: text/xml
Content-Length: 416

<?xml version="1.0" encoding="UTF-8"?>
<methodResponse>
<fault>
<value><struct>
<member><name>faultCode</name>
<value><i4>-503</i4></value></member>
<member><name>faultString</name>
<value><string>Call XML not a proper XML-RPC call.  Call is not valid XML.  Invalid XML "content".  Problem with token at '&lt;oops...': unclosed token</string></value></member>
</struct></value>
</fault>
</methodResponse>
